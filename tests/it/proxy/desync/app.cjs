// A Node app that takes every request, whole, and tells the recorder what it took it for.
const http = require('node:http');
const [port, recorder] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true });
const server = http.createServer((request, response) => {
  const pieces = [];
  request.on('data', (piece) => pieces.push(piece));
  request.on('end', () => {
    const body = Buffer.concat(pieces);
    const headers = { 'x-case': request.headers['x-case'] ?? '', 'content-length': body.length };
    const to = { host: '127.0.0.1', port: recorder, agent, method: request.method, path: request.url, headers };
    const record = http.request(to, (recorded) => {
      response.writeHead(recorded.statusCode, { 'x-recorded': recorded.headers['x-recorded'] ?? 'no' });
      recorded.on('data', () => {}).on('end', () => response.end());
    });
    record.on('error', (error) => response.writeHead(500).end(String(error)));
    record.end(body);
  });
});
server.listen(Number(port), '127.0.0.1');
