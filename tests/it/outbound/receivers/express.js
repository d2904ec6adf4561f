// A receiver as the platform's documentation teaches its customers: express.raw, HMAC of the raw body, timingSafeEqual.
const crypto = require('crypto');
const express = require('express');

const app = express();
const handled = [];
const seen = new Set();
const failures = new Map();
let last = null;

app.use('/webhooks', express.raw({ type: 'application/json' }));

function isGenuine(body, header, secret) {
  const given = Buffer.from((header || '').replace('sha256=', ''), 'hex');
  const expected = Buffer.from(crypto.createHmac('sha256', secret).update(body).digest('hex'), 'hex');
  return given.length === expected.length && crypto.timingSafeEqual(given, expected);
}

app.post('/webhooks/appmint', (request, response) => {
  if (!isGenuine(request.body, request.headers['x-appmint-signature'], process.env.WEBHOOK_SECRET)) {
    return response.status(401).send('Unauthorized');
  }
  last = { headers: request.headers, body: request.body.toString('base64') };
  const event = JSON.parse(request.body);
  const failed = failures.get(event.id) || 0;
  if (failed < (event.data.failures || 0)) {
    failures.set(event.id, failed + 1);
    return response.status(500).send('Internal Server Error');
  }
  if (!seen.has(event.id)) {
    seen.add(event.id);
    handled.push(event.id);
  }
  return response.status(200).send('OK');
});

app.get('/state', (request, response) => response.json({ handled, last, failures: [...failures.values()] }));

const server = app.listen(0, '127.0.0.1', () => console.log(server.address().port));
