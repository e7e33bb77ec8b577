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
  #opening = null; // the promise of a Link

  constructor(url, namespace, outbox) {
    this.#url = new URL(url);
    this.#url.searchParams.set('heartbeat', '30');
    this.#exchange = `${namespace}.terminal`;
    this.#outbox = outbox;
  }

  // Asks a question. Past the deadline nobody waits: it is dropped unanswered, wherever it is by then.
  async ask(routingKey, body, withinMs = 10_000) {
    const deadline = performance.now() + withinMs;
    let answer;
    try {
      const link = await within(withinMs, this.#open());
      const left = Math.max(1, Math.floor(deadline - performance.now())); // connecting took some of it
      const expiring = { persistent: false, expiration: String(left), timestamp: Math.floor(Date.now() / 1000) };
      answer = await link.request(routingKey, body, { ...this.#properties(randomUUID()), ...expiring }, left);
    } catch (error) {
      throw new NoAnswer(`${routingKey}: ${error.message}`);
    }
    if (!answer) throw new NoAnswer(`${routingKey}: no answer`);
    return answer;
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
    const giveUp = performance.now() + patienceMs;
    const left = () => Math.max(0, giveUp - performance.now());
    // Persistent and mandatory: the broker confirms it when it has it on disk and in a queue, and says so if it has not.
    // Never an expiration: money does not grow old.
    const properties = { ...this.#properties(fact.correlationId), persistent: true, mandatory: true };
    const ends = ({ outcome }) => FINAL.has(outcome);
    let [wait, pause] = [FIRST_WAIT_MS, FIRST_PAUSE_MS];
    for (;;) {
      let answer = null;
      try {
        const link = await this.#open();
        answer = await link.request(fact.routingKey, fact.body, properties, Math.min(wait, left()), ends);
        [wait, pause] = [Math.min(wait * 2, LONGEST_WAIT_MS), FIRST_PAUSE_MS];
      } catch { // away, refused, returned: the broker has not taken it
        await this.close();
        await sleep(Math.min(pause, left()));
        pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
      }
      if (answer) {
        await this.#outbox.remove(fact);
        return answer;
      }
      if (left() === 0) {
        throw new NoAnswer(`${fact.routingKey}: nothing within ${patienceMs} ms; it stays in the outbox`);
      }
    }
  }

  async close() {
    const opening = this.#opening;
    this.#opening = null;
    try {
      await (await opening)?.close();
    } catch {
      // it was gone already
    }
  }

  // Neither an attempt that failed nor a link that was lost is kept: whoever needs one next makes another.
  #open() {
    if (!this.#opening) {
      const opening = Link.open(this.#url.href, this.#exchange);
      const forget = () => {
        if (this.#opening === opening) this.#opening = null;
      };
      opening.then((link) => link.lost).then(forget, forget);
      this.#opening = opening;
    }
    return this.#opening;
  }

  #properties(correlationId) {
    return {
      contentType: 'application/json',
      headers: { 'unigate-version': 1 },
      userId: decodeURIComponent(this.#url.username) || 'guest', // verified by the broker
      replyTo: REPLY_TO,
      correlationId,
    };
  }
}

// One connection to the broker, and who waits for an answer on it: answers go to the connection that asked, so nothing
// more comes for them once it is lost.
class Link {
  lost; // the promise of its end
  #connection;
  #channel;
  #exchange;
  #returned = new Set(); // message ids
  #waiting = new Map(); // correlation id -> the function that takes the answer

  static async open(url, exchange) {
    const connection = await amqp.connect(url, { timeout: 10_000 });
    const link = new Link(connection, exchange);
    try {
      await link.#listen();
    } catch (error) {
      connection.close().catch(() => {}); // or each attempt would leave one behind
      throw error;
    }
    return link;
  }

  constructor(connection, exchange) {
    this.#connection = connection;
    this.#exchange = exchange;
    this.lost = new Promise((resolve) => connection.on('close', resolve)).then(() => {
      for (const take of this.#waiting.values()) take(null);
    });
    connection.on('error', () => {}); // 'close' follows
  }

  async #listen() {
    this.#channel = await this.#connection.createConfirmChannel();
    this.#channel.on('error', () => this.close().catch(() => {}));
    this.#channel.on('return', (message) => this.#returned.add(message.properties.messageId));
    // Without anyone waiting it is a late answer: the fact, if it was one, is sent again and answered again.
    const take = (message) => {
      this.#waiting.get(message?.properties.correlationId)?.(JSON.parse(message.content.toString()));
    };
    // Direct reply-to wants the request on the channel that consumes, and no acknowledgements.
    await this.#channel.consume(REPLY_TO, take, { noAck: true });
  }

  async close() {
    await this.#connection.close();
  }

  // The answer that ends it, or null after the time is over or the link is lost. Rejects if the broker has not taken it.
  async request(routingKey, body, properties, withinMs, ends = () => true) {
    const { correlationId } = properties;
    let take;
    const answer = new Promise((resolve) => {
      take = (given) => {
        if (given === null || ends(given)) resolve(given); // else it is no answer yet
      };
      this.#waiting.set(correlationId, take);
    });
    const late = setTimeout(take, withinMs, null);
    try {
      await within(withinMs, this.#publish(routingKey, body, properties));
      return await answer;
    } finally {
      clearTimeout(late);
      if (this.#waiting.get(correlationId) === take) this.#waiting.delete(correlationId);
    }
  }

  async #publish(routingKey, body, properties) {
    const messageId = randomUUID();
    await new Promise((resolve, reject) => {
      const confirmed = (error) => (error ? reject(error) : resolve());
      const content = Buffer.from(JSON.stringify(body));
      this.#channel.publish(this.#exchange, routingKey, content, { ...properties, messageId }, confirmed);
    });
    // A message that found no queue comes back before its confirm.
    if (this.#returned.delete(messageId)) throw new Error(`${routingKey} was returned by the broker`);
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
