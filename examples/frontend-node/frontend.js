// Speaking with unigate over RabbitMQ: questions with a deadline, facts repeated until they are answered.
// Nothing here knows cards or payments: take it as it is.
'use strict';

const { randomUUID } = require('node:crypto');
const { setTimeout: sleep } = require('node:timers/promises');
const amqp = require('amqplib');

// Where the broker delivers answers to this connection; no queue has to be declared.
const REPLY_TO = 'amq.rabbitmq.reply-to';

// Any of these ends a fact. An outcome that is not here comes from a newer unigate: no answer yet.
const FINAL = new Set([
  'accepted', 'already_accepted', 'sold', 'already_sold', 'conflict', 'released', 'already_released', 'already_expired',
  'revoked', 'already_revoked', 'revoking', 'refused',
]);

const [FIRST_WAIT_MS, LONGEST_WAIT_MS] = [30_000, 300_000]; // for the answer to a fact, before it is sent again
const [FIRST_PAUSE_MS, LONGEST_PAUSE_MS] = [1_000, 30_000]; // after the broker could not be reached

// A question: ask again if it still matters. A fact: it stays in the outbox, nothing is lost.
class NoAnswer extends Error {}

class Frontend {
  #url;
  #exchange;
  #outbox;
  #opening = null; // the promise of { connection, channel }
  #waiting = new Map(); // correlation id -> the function that takes the answer

  constructor(url, namespace, outbox) {
    this.#url = new URL(url);
    this.#url.searchParams.set('heartbeat', '30');
    this.#exchange = `${namespace}.terminal`;
    this.#outbox = outbox;
  }

  // Asks a question. Past the deadline nobody waits: it is dropped unanswered, wherever it is by then.
  async ask(routingKey, body, withinMs = 10_000) {
    const correlationId = randomUUID();
    const deadline = { expiration: String(withinMs), timestamp: Math.floor(Date.now() / 1000) };
    const answer = this.#answer(correlationId, withinMs);
    try {
      await within(withinMs, this.#publish(routingKey, body, { correlationId, persistent: false, ...deadline }));
    } catch (error) {
      this.#waiting.delete(correlationId);
      throw new NoAnswer(`${routingKey}: ${error.message}`);
    }
    const given = await answer;
    if (!given) throw new NoAnswer(`${routingKey}: no answer`);
    return given;
  }

  // States a fact: kept first, then sent until it is answered. Gives up waiting after the patience, if any.
  async tell(routingKey, body, patienceMs = Infinity) {
    return this.settle(await this.#outbox.put(routingKey, body), patienceMs);
  }

  // Call it after every start: what was not answered when the program ended.
  async settleOutbox(patienceMs = Infinity) {
    const settled = [];
    for (const fact of await this.#outbox.unanswered()) {
      settled.push({ fact, answer: await this.settle(fact, patienceMs) });
    }
    return settled;
  }

  async settle(fact, patienceMs = Infinity) {
    const giveUp = Date.now() + patienceMs;
    let [wait, pause] = [FIRST_WAIT_MS, FIRST_PAUSE_MS];
    for (;;) {
      let answer = this.#answer(fact.correlationId, Math.min(wait, giveUp - Date.now()));
      try {
        await within(wait, this.#send(fact));
        answer = await answer;
        [wait, pause] = [Math.min(wait * 2, LONGEST_WAIT_MS), FIRST_PAUSE_MS];
      } catch { // away, refused, returned: the broker has not taken it
        await this.close();
        answer = null;
        await sleep(Math.max(0, Math.min(pause, giveUp - Date.now())));
        pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
      }
      if (FINAL.has(answer?.outcome)) {
        await this.#outbox.remove(fact);
        return answer;
      }
      if (Date.now() >= giveUp) {
        throw new NoAnswer(`${fact.routingKey}: nothing within ${patienceMs} ms; it stays in the outbox`);
      }
    }
  }

  async close() {
    const opening = this.#opening;
    this.#opening = null;
    try {
      await (await opening)?.connection.close();
    } catch {
      // it was gone already
    }
  }

  // Persistent and mandatory on a confirming channel: resolves only when the broker has it on disk and in a queue,
  // and rejects if it has not. Never an expiration: money does not grow old.
  async #send(fact) {
    const options = { correlationId: fact.correlationId, persistent: true, mandatory: true };
    await this.#publish(fact.routingKey, fact.body, options);
  }

  async #publish(routingKey, body, options) {
    const { channel, returned } = await this.#open();
    const messageId = randomUUID();
    const properties = {
      contentType: 'application/json',
      headers: { 'unigate-version': 1 },
      userId: decodeURIComponent(this.#url.username) || 'guest', // verified by the broker
      replyTo: REPLY_TO,
      messageId,
      ...options,
    };
    await new Promise((resolve, reject) => {
      const confirmed = (error) => (error ? reject(error) : resolve());
      channel.publish(this.#exchange, routingKey, Buffer.from(JSON.stringify(body)), properties, confirmed);
    });
    // A message that found no queue comes back before its confirm.
    if (returned.delete(messageId)) throw new Error(`${routingKey} was returned by the broker`);
  }

  async #open() {
    this.#opening ??= this.#connect();
    return this.#opening;
  }

  async #connect() {
    const connection = await amqp.connect(this.#url.href, { timeout: 10_000 });
    connection.on('error', () => {}); // 'close' follows
    connection.on('close', () => this.#lost());
    const channel = await connection.createConfirmChannel();
    const returned = new Set();
    channel.on('error', () => { connection.close().catch(() => {}); });
    channel.on('return', (message) => returned.add(message.properties.messageId));
    // Direct reply-to wants the request on the channel that consumes, and no acknowledgements.
    await channel.consume(REPLY_TO, (message) => this.#take(message), { noAck: true });
    return { connection, channel, returned };
  }

  // Answers go to the connection that asked, so nothing more will come for what was asked on this one.
  #lost() {
    this.#opening = null;
    for (const done of this.#waiting.values()) done(null);
  }

  #take(message) {
    // Without anyone waiting it is a late answer: the fact, if it was one, is sent again and answered again.
    this.#waiting.get(message?.properties.correlationId)?.(JSON.parse(message.content.toString()));
  }

  // The answer, or null after the time is over or the connection is lost.
  #answer(correlationId, withinMs) {
    return new Promise((resolve) => {
      const done = (answer) => {
        clearTimeout(timer);
        this.#waiting.delete(correlationId);
        resolve(answer);
      };
      const timer = setTimeout(done, Math.max(0, withinMs), null);
      this.#waiting.set(correlationId, done);
    });
  }
}

async function within(ms, promise) {
  const stop = new AbortController();
  const late = sleep(ms, null, { signal: stop.signal }).then(() => { throw new Error(`nothing from the broker in ${ms} ms`); });
  try {
    return await Promise.race([promise, late]);
  } finally {
    stop.abort();
    late.catch(() => {});
  }
}

module.exports = { Frontend, NoAnswer };
