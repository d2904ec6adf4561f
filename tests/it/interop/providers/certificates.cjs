// Messages of SNS and requests of PayPal, signed with the key of this folder; those of SNS are checked by npm
// sns-validator, which gets the certificate of this folder from what it takes for Amazon. Input: { key, certificate }.
const { createSign } = require('crypto');
const { PassThrough } = require('stream');
const { key, certificate } = JSON.parse(require('fs').readFileSync(0, 'utf8'));

require('https').get = (url, then) => {
  const answer = new PassThrough();
  answer.statusCode = 200;
  then(answer);
  answer.end(certificate);
  return { on: () => {} };
};
const Validator = require('sns-validator');
const sign = (algorithm, text) => createSign(algorithm).update(text, 'utf8').sign(key, 'base64');

const topic = 'arn:aws:sns:us-east-1:123456789012:orders';
const url = 'https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem';
const message = (version, fields, order) => {
  const whole = { ...fields, TopicArn: topic, Timestamp: '2026-11-23T12:00:00.000Z', SignatureVersion: version, SigningCertURL: url };
  const signed = order.filter((name) => name in whole).map((name) => `${name}\n${whole[name]}\n`).join('');
  return { ...whole, Signature: sign(version === '1' ? 'RSA-SHA1' : 'RSA-SHA256', signed) };
};
const notification = ['Message', 'MessageId', 'Subject', 'Timestamp', 'TopicArn', 'Type'];
const confirmation = ['Message', 'MessageId', 'SubscribeURL', 'Timestamp', 'Token', 'TopicArn', 'Type'];
const messages = ['1', '2'].flatMap((version) => [
  message(version, { Type: 'Notification', MessageId: `m${version}`, Subject: 'Zoë', Message: '{"paid": 1}\nline' }, notification),
  message(version, { Type: 'Notification', MessageId: `n${version}`, Message: 'no subject' }, notification),
]);
const confirm = message('2', {
  Type: 'SubscriptionConfirmation', MessageId: 'c1', Token: 'abc', Message: 'You have chosen …',
  SubscribeURL: 'https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=x&Token=abc',
}, confirmation);

const validate = (message) => new Promise((done) => new Validator().validate({ ...message }, (error) => done(error === null)));

(async () => {
  for (const one of [...messages, confirm]) {
    if (!(await validate(one))) throw new Error(`sns-validator refuses ${JSON.stringify(one)}`);
  }
  const body = '{"id":"WH-1","event_type":"PAYMENT.SALE.COMPLETED","resource":{"note":"Zoë"}}';
  const checksum = body => { let c = ~0; for (const byte of Buffer.from(body)) { c ^= byte; for (let bit = 0; bit < 8; bit += 1) c = (c >>> 1) ^ (0xedb88320 & -(c & 1)); } return ~c >>> 0; };
  const headers = {
    'paypal-transmission-id': 't-1', 'paypal-transmission-time': '2026-11-23T12:00:00Z', 'paypal-auth-algo': 'SHA256withRSA',
    'paypal-cert-url': 'https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-1d93a270',
  };
  headers['paypal-transmission-sig'] = sign('RSA-SHA256', `t-1|2026-11-23T12:00:00Z|WEBHOOK-1|${checksum(body)}`);
  console.log(JSON.stringify({ topic, messages: messages.map((one) => JSON.stringify(one)), confirm: JSON.stringify(confirm), paypal: { headers, body } }));
})();
