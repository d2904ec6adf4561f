// What each provider's own package signs, as requests: one line of JSON, an array of cases.
const { createHash } = require('crypto');
const now = 1763900000000;
const seconds = Math.floor(now / 1000);
const cases = [];
const json = { 'content-type': 'application/json' };
const add = (scheme, secret, body, headers, more = {}) =>
  cases.push({ scheme, secret, body: Buffer.from(body).toString('base64'), headers: { ...json, ...headers }, now, method: 'POST', query: null, id: null, type: null, ...more });

const charge = JSON.stringify({ id: 'evt_1NG8', object: 'event', type: 'charge.succeeded', data: { object: { amount: 2000, name: 'Zoë 😀' } } }, null, 2);
const url = 'https://hooks.example.com/in';

(async () => {
  const Stripe = require('stripe');
  const stripe = new Stripe('sk_test_nothing');
  add('stripe', 'whsec_stripe', charge, {
    'stripe-signature': stripe.webhooks.generateTestHeaderString({ payload: charge, secret: 'whsec_stripe', timestamp: seconds }),
  }, { id: 'evt_1NG8', type: 'charge.succeeded' });
  add('stripe', 'whsec_stripe', '{"id":"evt_2","type":"a.b"}', {
    'stripe-signature': stripe.webhooks.generateTestHeaderString({ payload: '{"id":"evt_2","type":"a.b"}', secret: 'whsec_stripe', timestamp: seconds, scheme: 'v1' }) + ',v0=' + 'ab'.repeat(32),
  }, { id: 'evt_2', type: 'a.b' });

  const octokit = await import(require('path').join(process.env.NODE_PATH, '@octokit/webhooks-methods/dist-node/index.js'));
  const opened = JSON.stringify({ action: 'opened', number: 1, pull_request: { title: 'Zoë' } });
  add('github', 'octokit', opened, {
    'x-hub-signature-256': await octokit.sign('octokit', opened), 'x-github-delivery': '72d3162e', 'x-github-event': 'pull_request',
  }, { id: '72d3162e', type: 'pull_request.opened' });

  const { getExpectedTwilioSignature, getExpectedBodyHash } = require('twilio');
  const params = { To: '+15558675310', From: '+15551234567', Body: 'Ahoy & hello, Zoë 😀', MessageSid: 'SM1', MediaUrl: ['b', 'a', 'b'] };
  const form = new URLSearchParams(Object.entries(params).flatMap(([name, value]) => [value].flat().map((one) => [name, one]))).toString();
  const asForm = { 'content-type': 'application/x-www-form-urlencoded; charset=UTF-8', 'i-twilio-idempotency-token': 'tok_1' };
  for (const [called, query] of [[url, 'foo=1&bar=b%27c'], [url.replace('.com/', '.com:443/'), null]]) {
    const whole = query ? `${called}?${query}` : called;
    add('twilio', 'twilio-token', form, { ...asForm, 'x-twilio-signature': getExpectedTwilioSignature('twilio-token', whole, params) }, { query, id: 'tok_1' });
  }
  const query = `a=b&bodySHA256=${getExpectedBodyHash(charge)}`;
  add('twilio', 'twilio-token', charge, { 'x-twilio-signature': getExpectedTwilioSignature('twilio-token', `${url}?${query}`, {}) }, { query });

  const { Webhook } = require('svix');
  const svix = 'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD';
  add('svix', svix, charge, {
    'svix-id': 'msg_1', 'svix-timestamp': `${seconds}`, 'svix-signature': new Webhook(svix).sign('msg_1', new Date(now), charge),
  }, { id: 'msg_1', type: 'charge.succeeded' });

  const { Signature } = require('@hubspot/api-client');
  const batch = JSON.stringify([{ eventId: 1, subscriptionType: 'contact.creation', propertyValue: 'Zoë' }]);
  for (const [query, signed] of [[null, url], ['a=b%3Ac%2Fd%20e', `${url}?a=b:c/d%20e`]]) {
    add('hubspot', 'hubspot-secret', batch, {
      'x-hubspot-request-timestamp': `${now}`,
      'x-hubspot-signature-v3': Signature.getSignature('POST', 'v3', { clientSecret: 'hubspot-secret', requestBody: batch, url: signed, timestamp: now }),
    }, { query });
  }

  const { WorkOS } = require('@workos-inc/node');
  const user = JSON.stringify({ id: 'event_1', event: 'user.created', data: { name: 'Zoë' } });
  const computed = await new WorkOS('sk_test_nothing').webhooks.computeSignature(now, user, 'workos-secret');
  add('workos', 'workos-secret', user, { 'workos-signature': `t=${now}, v1=${computed}` }, { id: 'event_1', type: 'user.created' });

  const { encodeSignatureHeader } = require('@sanity/webhook');
  add('sanity', 'sanity-secret', charge, {
    'sanity-webhook-signature': await encodeSignatureHeader(charge, now, 'sanity-secret'), 'idempotency-key': 'key_1',
  }, { id: 'key_1' });

  const standard = require('standardwebhooks').Webhook;
  const push = JSON.stringify({ object_kind: 'push', ref: 'main' });
  add('gitlab-signed', svix, push, {
    'webhook-id': 'msg_2', 'webhook-timestamp': `${seconds}`, 'webhook-signature': new standard(svix).sign('msg_2', new Date(now), push),
  }, { id: 'msg_2', type: 'push' });

  const { hmacValidator } = require('@adyen/api-library');
  const key = '44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056';
  const items = ['AUTHORISATION', 'REPORT_AVAILABLE'].map((eventCode, number) => ({
    pspReference: `psp${number}`, ...(number ? { originalReference: 'orig' } : {}), merchantAccountCode: 'Shop',
    merchantReference: 'Zoë-1', amount: { value: 1130, currency: 'EUR' }, eventCode, success: 'true', eventDate: '2026-11-23',
  }));
  const wrap = (items) => JSON.stringify({
    live: 'false',
    notificationItems: items.map((item) => {
      const hmacSignature = new hmacValidator().calculateHmac(item, key);
      return { NotificationRequestItem: { additionalData: { hmacSignature }, ...item } };
    }),
  });
  add('adyen', key, wrap(items), {}, { type: 'AUTHORISATION' });
  add('adyen', key, wrap(items.slice(1)), {}, { type: 'REPORT_AVAILABLE' });

  const braintree = require('braintree');
  const gateway = new braintree.BraintreeGateway({ environment: braintree.Environment.Sandbox, merchantId: 'm', publicKey: 'pubkey', privateKey: 'privkey' });
  const notification = gateway.webhookTesting.sampleNotification(braintree.WebhookNotification.Kind.SubscriptionWentPastDue, 'sub_1');
  add('braintree', 'pubkey:privkey', new URLSearchParams(notification).toString(), { 'content-type': 'application/x-www-form-urlencoded' }, { type: 'subscription_went_past_due' });

  console.log(JSON.stringify(cases));
})();
