# What the Python packages sign, as requests: one line of JSON, an array of cases.
import base64
import json

from urllib.parse import urlencode

import braintree
import stripe
from slack_sdk.signature import SignatureVerifier

NOW = 1763900000000
SECONDS = str(NOW // 1000)
cases = []


def add(scheme, secret, body, headers, **more):
    case = {"scheme": scheme, "secret": secret, "body": base64.b64encode(body.encode()).decode(), "now": NOW}
    case.update({"method": "POST", "query": None, "id": None, "type": None})
    case["headers"] = {"content-type": "application/json", **headers}
    cases.append({**case, **more})


slack = SignatureVerifier("slack-secret")
event = json.dumps({"type": "event_callback", "event_id": "Ev1", "event": {"type": "app_mention", "text": "Zoë 😀"}})
command = "token=x&command=%2Fweather&text=94070"
for body, kind, more in [
    (event, "application/json", {"id": "Ev1", "type": "app_mention"}),
    (command, "application/x-www-form-urlencoded", {}),
]:
    signature = slack.generate_signature(timestamp=SECONDS, body=body)
    headers = {"content-type": kind, "x-slack-request-timestamp": SECONDS, "x-slack-signature": signature}
    add("slack", "slack-secret", body, headers, **more)

charge = json.dumps({"id": "evt_1", "type": "charge.succeeded", "data": {"name": "Zoë"}})
signature = stripe.WebhookSignature._compute_signature(f"{SECONDS}.{charge}", "whsec_stripe")
add("stripe", "whsec_stripe", charge, {"stripe-signature": f"t={SECONDS},v1={signature}"}, id="evt_1", type="charge.succeeded")

gateway = braintree.BraintreeGateway(
    braintree.Configuration(braintree.Environment.Sandbox, merchant_id="m", public_key="pubkey", private_key="privkey")
)
kind = braintree.WebhookNotification.Kind.DisputeOpened
form = urlencode(gateway.webhook_testing.sample_notification(kind, "dispute_1"))
headers = {"content-type": "application/x-www-form-urlencoded"}
add("braintree", "pubkey:privkey", form, headers, type="dispute_opened")

print(json.dumps(cases))
