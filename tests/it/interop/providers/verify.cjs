// What the providers' own packages say of our requests: a line of JSON for each line of standard input.
// In: { scheme, secret, url, headers, body (base64), now }; secret is what the receiver has, now what its clock says, in
// milliseconds. Out: { scheme, ok }.
let clock = 0;
globalThis.Date = class extends Date {
  constructor(...given) {
    super(...(given.length ? given : [clock]));
  }
  static now() {
    return clock;
  }
};
const packages = {
  shopify: async ({ secret, headers, body }) => {
    require('@shopify/shopify-api/adapters/node');
    const { shopifyApi, LogSeverity } = require('@shopify/shopify-api');
    const shopify = shopifyApi({
      apiKey: 'key', apiSecretKey: secret, hostName: 'hooks.example.com', apiVersion: '2025-10', isEmbeddedApp: false,
      logger: { level: LogSeverity.Error, log: () => {} },
    });
    const rawRequest = { method: 'POST', url: '/in', headers };
    const answer = await shopify.webhooks.validate({ rawBody: body.toString(), rawRequest, rawResponse: {} });
    return answer.valid;
  },
  square: ({ secret, headers, body, url }) => {
    const { WebhooksHelper } = require('square');
    const signatureHeader = headers['x-square-hmacsha256-signature'];
    return WebhooksHelper.verifySignature({ requestBody: body.toString(), signatureHeader, signatureKey: secret, notificationUrl: url });
  },
  razorpay: ({ secret, headers, body }) =>
    require('razorpay').validateWebhookSignature(body.toString(), headers['x-razorpay-signature'], secret),
  discord: ({ secret, headers, body }) =>
    require('discord-interactions').verifyKey(body, headers['x-signature-ed25519'], headers['x-signature-timestamp'], secret),
  sendgrid: ({ secret, headers, body }) => {
    const { EventWebhook } = require('@sendgrid/eventwebhook');
    const webhook = new EventWebhook();
    const key = webhook.convertPublicKeyToECDSA(secret);
    const [signature, timestamp] = ['signature', 'timestamp'].map((part) => headers[`x-twilio-email-event-webhook-${part}`]);
    return webhook.verifySignature(key, body, signature, timestamp);
  },
  linear: ({ secret, headers, body }) => {
    const { LinearWebhookClient } = require('@linear/sdk/webhooks');
    return new LinearWebhookClient(secret).verify(body, headers['linear-signature']);
  },
  paddle: ({ secret, headers, body }) => {
    const { Paddle } = require('@paddle/paddle-node-sdk');
    return new Paddle('key').webhooks.isSignatureValid(body.toString(), secret, headers['paddle-signature']);
  },
  line: ({ secret, headers, body }) => require('@line/bot-sdk').validateSignature(body, secret, headers['x-line-signature']),
  stripe: ({ secret, headers, body }) => {
    const stripe = new (require('stripe'))('sk_test_nothing');
    return Boolean(stripe.webhooks.constructEvent(body, headers['stripe-signature'], secret));
  },
  svix: ({ secret, headers, body }) => {
    const { Webhook } = require('svix');
    new Webhook(secret).verify(body.toString(), headers);
    return true;
  },
  github: async ({ secret, headers, body }) => {
    const file = require('path').join(process.env.NODE_PATH, '@octokit/webhooks-methods/dist-node/index.js');
    return (await import(file)).verify(secret, body.toString(), headers['x-hub-signature-256']);
  },
  twilio: ({ secret, headers, body, url }) =>
    require('twilio').validateRequestWithBody(secret, headers['x-twilio-signature'], url, body.toString()),
  hubspot: ({ secret, headers, body, url }) => {
    const { Signature } = require('@hubspot/api-client');
    const timestamp = Number(headers['x-hubspot-request-timestamp']);
    const options = { signatureVersion: 'v3', signature: headers['x-hubspot-signature-v3'], clientSecret: secret, requestBody: body.toString(), url, timestamp };
    return Signature.isValid({ method: 'POST', ...options });
  },
  workos: async ({ secret, headers, body }) => {
    const { WorkOS } = require('@workos-inc/node');
    const payload = JSON.parse(body.toString());
    return Boolean(await new WorkOS('sk_test_nothing').webhooks.constructEvent({ payload: body.toString(), sigHeader: headers['workos-signature'], secret }) && payload);
  },
  zoom: async ({ secret, headers, body }) => {
    // It prints every event that it gets.
    console.debug = () => {};
    const { AwsLambdaReceiver } = require('@zoom/rivet/meetings');
    const receiver = new AwsLambdaReceiver({ webhooksSecretToken: secret });
    receiver.init({ eventEmitter: { emit: async () => {} } });
    const answer = await receiver.start()({ headers, body: body.toString(), isBase64Encoded: false }, {});
    return answer.statusCode === 200;
  },
};
packages['shopify-events'] = packages.shopify;

Object.assign(packages, {
  x: ({ secret, headers, body }) => require('twitter-autohook').validateSignature(headers, { consumer_secret: secret }, body),
  woocommerce: async ({ secret, headers, body, url }) => {
    const { WebhookVerificationService } = require('@hookflo/tern');
    const request = new Request(url, { method: 'POST', headers, body });
    return (await WebhookVerificationService.verifyWithPlatformConfig(request, 'woocommerce', secret)).isValid;
  },
  intercom: ({ secret, headers, body }) => {
    const { intercom } = require('@activepieces/piece-intercom');
    const payload = { headers, body: JSON.parse(body.toString()), rawBody: body.toString() };
    return intercom.events.verify({ payload, webhookSecret: secret });
  },
  telegram: async ({ secret, headers, body, url }) => {
    const { Bot, webhookCallback } = require('grammy');
    const botInfo = { id: 1, is_bot: true, first_name: 'a', username: 'a_bot' };
    const answer = webhookCallback(new Bot('1:token', { botInfo }), 'std/http', { secretToken: secret });
    return (await answer(new Request(url, { method: 'POST', headers, body }))).status === 200;
  },
});

// A module of Nuxt: its configuration comes from a Nuxt app, which here is this line.
const settings = 'export const useRuntimeConfig = () => ({ webhook: globalThis.webhook });';
const imports = `data:text/javascript,${encodeURIComponent(settings)}`;
const hooks = `export const resolve = (name, context, next) =>
  name === '#imports' ? { url: ${JSON.stringify(imports)}, shortCircuit: true } : next(name, context);`;
require('module').register(`data:text/javascript,${encodeURIComponent(hooks)}`);
for (const [scheme, key] of [
  ['bitbucket', 'secretKey'], ['docusign', 'secretKey'], ['dropbox', 'appSecret'], ['twitch', 'secretKey'], ['vercel', 'secretKey'],
]) {
  packages[scheme] = async ({ secret, headers, body, url }) => {
    globalThis.webhook = { [scheme]: { [key]: secret } };
    const modules = process.env.NODE_PATH;
    const { mockEvent } = await import(`${modules}/h3/dist/_entries/node.mjs`);
    const validator = await import(`${modules}/nuxt-webhook-validators/dist/runtime/server/lib/validators/${scheme}.js`);
    const isValid = Object.entries(validator).find(([name]) => name.startsWith('isValid'))[1];
    return isValid(mockEvent(url, { method: 'POST', headers, body }));
  };
}

(async () => {
  const lines = require('fs').readFileSync(0, 'utf8').trim().split('\n');
  for (const line of lines) {
    const request = JSON.parse(line);
    request.body = Buffer.from(request.body, 'base64');
    clock = request.now;
    let ok = false;
    let error = null;
    try {
      ok = Boolean(await packages[request.scheme](request));
    } catch (cause) {
      error = String(cause).slice(0, 200);
    }
    console.log(JSON.stringify({ scheme: request.scheme, ok, error }));
  }
})();
