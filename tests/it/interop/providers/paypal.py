# What PayPal signs of a request, said by PyPI paypalrestsdk. Input: { id, time, webhook, body }; output: the text.
import json
import sys

from paypalrestsdk import WebhookEvent

request = json.load(sys.stdin)
print(WebhookEvent._get_expected_sig(request["id"], request["time"], request["webhook"], request["body"]), end="")
