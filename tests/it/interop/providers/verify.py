# What the Python packages say of our requests, as verify.cjs does: a line of JSON for each line of standard input.
import base64
import json
import sys

from gidgetlab.sansio import Event
from mailgun.security import SecurityGuard
from pywa.utils import HUB_SIG, webhook_updates_validator


def gitlab(secret, headers, body):
    return Event.from_http(headers, body, secret=secret).event == headers["x-gitlab-event"]


def mailgun(secret, headers, body):
    signature = json.loads(body)["signature"]
    return SecurityGuard.verify_webhook(secret, signature["token"], signature["timestamp"], signature["signature"])


def meta(secret, headers, body):
    return webhook_updates_validator(secret, body, headers[HUB_SIG.lower()])


packages = {"gitlab": gitlab, "mailgun": mailgun, "meta": meta}
for line in sys.stdin:
    request = json.loads(line)
    ok, error = False, None
    try:
        ok = bool(packages[request["scheme"]](request["secret"], request["headers"], base64.b64decode(request["body"])))
    except Exception as cause:
        error = repr(cause)[:200]
    print(json.dumps({"scheme": request["scheme"], "ok": ok, "error": error}))
