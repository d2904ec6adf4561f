// What a team writes itself: Express verifies the raw body, BullMQ keeps the event under its id (the id is the
// deduplication), a worker posts it to the destination over keep-alive connections. Two processes, as BullMQ's
// production notes advise: `receive` and `work`.
import { createHmac, timingSafeEqual } from "node:crypto";
import express from "express";
import { Queue, Worker } from "bullmq";
import IORedis from "ioredis";
import { Agent, request } from "undici";

const { PORT, REDIS_PORT, SINK_PORT, SECRET } = process.env;
const connection = new IORedis({ host: "127.0.0.1", port: Number(REDIS_PORT), maxRetriesPerRequest: null });

function receive() {
  const queue = new Queue("webhooks", { connection });
  const app = express();
  app.disable("x-powered-by");
  app.disable("etag");
  app.post("/webhooks/appmint", express.raw({ type: () => true, limit: "1mb" }), async (req, res) => {
    const given = Buffer.from(req.get("X-Appmint-Signature") ?? "");
    const wanted = Buffer.from("sha256=" + createHmac("sha256", SECRET).update(req.body).digest("hex"));
    if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) return res.status(401).end();
    let event;
    try {
      event = JSON.parse(req.body);
    } catch {
      return res.status(400).end();
    }
    await queue.add(
      event.type,
      { headers: { "content-type": req.get("content-type") }, body: req.body.toString("utf8") },
      {
        jobId: event.id,
        attempts: 8,
        backoff: { type: "exponential", delay: 1000 },
        // Completed jobs stay for the deduplication window, bounded by count.
        removeOnComplete: { age: 96 * 3600, count: 1_000_000 },
      },
    );
    res.status(200).send("OK");
  });
  app.listen(Number(PORT), "127.0.0.1", 4096);
}

function work() {
  const dispatcher = new Agent({ connections: 64, pipelining: 1, keepAliveTimeout: 60_000 });
  const worker = new Worker(
    "webhooks",
    async (job) => {
      const { statusCode, body } = await request(`http://127.0.0.1:${SINK_PORT}/hook`, {
        method: "POST",
        headers: job.data.headers,
        body: job.data.body,
        dispatcher,
      });
      await body.dump();
      if (statusCode < 200 || statusCode > 299) throw new Error(`status ${statusCode}`);
    },
    { connection, concurrency: 64 },
  );
  worker.on("error", (error) => console.error(error));
}

if (process.argv[2] === "work") work();
else receive();
