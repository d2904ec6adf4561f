// What the providers' own packages answer to their questions. Input: { secret, crc, challenge, zoom: { headers, body } };
// output: a body for each scheme.
const { secret, crc, challenge, zoom } = JSON.parse(require('fs').readFileSync(0, 'utf8'));

(async () => {
  const x = JSON.stringify(require('twitter-autohook').validateWebhook(crc, { consumer_secret: secret }));
  const braintree = require('braintree');
  const [publicKey, privateKey] = ['public', 'private'];
  const gateway = new braintree.BraintreeGateway({ environment: braintree.Environment.Sandbox, merchantId: 'm', publicKey, privateKey });
  const { AwsLambdaReceiver } = require('@zoom/rivet/meetings');
  console.debug = () => {};
  const receiver = new AwsLambdaReceiver({ webhooksSecretToken: secret });
  receiver.init({ eventEmitter: { emit: async () => {} } });
  const answer = await receiver.start()({ ...zoom, isBase64Encoded: false }, {});
  console.log(JSON.stringify({ x, braintree: gateway.webhookNotification.verify(challenge), zoom: answer.body }));
})();
