// Messages of SNS and requests of PayPal, signed with the key of this folder; those of SNS are checked by npm
// sns-validator, which gets the certificate of this folder from what it takes for Amazon.
// Input: { key, certificate, paypal: { id, time, body, signed } }, where paypal.py says what is signed.
const { createSign } = require('crypto');
const { PassThrough } = require('stream');
const { key, certificate, paypal } = JSON.parse(require('fs').readFileSync(0, 'utf8'));

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
  const headers = {
    'paypal-transmission-id': paypal.id, 'paypal-transmission-time': paypal.time, 'paypal-auth-algo': 'SHA256withRSA',
    'paypal-cert-url': 'https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-1d93a270',
    'paypal-transmission-sig': sign('RSA-SHA256', paypal.signed),
  };
  console.log(JSON.stringify({ topic, messages: messages.map((one) => JSON.stringify(one)), confirm: JSON.stringify(confirm), paypal: { headers, body: paypal.body } }));
})();
