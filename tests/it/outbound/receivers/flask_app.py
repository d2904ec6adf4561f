"""A receiver as the platform's documentation teaches its customers: Flask, HMAC of the raw body, compare_digest."""
import base64
import hashlib
import hmac
import json
import logging
import os

from flask import Flask, abort, jsonify, request
from werkzeug.serving import make_server

logging.getLogger("werkzeug").setLevel(logging.ERROR)
app = Flask(__name__)
state = {"handled": [], "last": None, "failures": {}}


def is_genuine(body, header, secret):
    expected = hmac.new(secret.encode("utf-8"), body, hashlib.sha256).hexdigest()
    given = header.split("=")[1] if header and "=" in header else ""
    return hmac.compare_digest(expected, given)


@app.route("/webhooks/appmint", methods=["POST"])
def webhook():
    body = request.get_data()
    if not is_genuine(body, request.headers.get("X-Appmint-Signature"), os.environ["WEBHOOK_SECRET"]):
        abort(401)
    headers = {name.lower(): value for name, value in request.headers.items()}
    state["last"] = {"headers": headers, "body": base64.b64encode(body).decode()}
    event = json.loads(body)
    failed = state["failures"].get(event["id"], 0)
    if failed < event["data"].get("failures", 0):
        state["failures"][event["id"]] = failed + 1
        abort(500)
    if event["id"] not in state["handled"]:
        state["handled"].append(event["id"])
    return "OK", 200


@app.route("/state")
def shown():
    return jsonify({**state, "failures": list(state["failures"].values())})


server = make_server("127.0.0.1", 0, app)
print(server.server_port, flush=True)
server.serve_forever()
