// A kiosk's day in six messages: sells a card, then takes a payment. Fails if an outcome is not the expected one.
'use strict';

const { randomUUID } = require('node:crypto');
const os = require('node:os');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { Frontend, NoAnswer } = require('./frontend');
const { Outbox } = require('./outbox');

const PATIENCE_MS = 120_000; // an example has to end; a kiosk would wait for ever

class Unexpected extends Error {}

async function main() {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { outbox: { type: 'string' } } });
  const [terminal = 'T-0001', product = 'mts-100', payee = 'gorvodokanal', account = '1920679795'] = positionals;
  const url = brokerUrl(process.env.UNIGATE_BROKER_URL ?? 'amqp://guest:guest@127.0.0.1:5672/%2f');
  const namespace = process.env.UNIGATE_BROKER_NAMESPACE ?? 'unigate';
  const frontend = new Frontend(url, namespace, new Outbox(values.outbox ?? outboxDirectory(url, namespace)));
  try {
    for (const { fact, answer } of await frontend.settleOutbox(PATIENCE_MS)) {
      console.log(`left from before     ${fact.routingKey}: ${answer.outcome}`);
    }
    await sellACard(frontend, terminal, product);
    await takeAPayment(frontend, terminal, payee, account);
  } catch (error) {
    if (!(error instanceof NoAnswer || error instanceof Unexpected)) throw error;
    console.error(`failed: ${error.message}`);
    process.exitCode = 1;
  } finally {
    await frontend.close();
  }
}

function brokerUrl(text) {
  try {
    return new URL(text);
  } catch {
    throw new Error('UNIGATE_BROKER_URL is not a URL'); // Node's own error shows it, with the password
  }
}

// Outlives a restart of the machine, and is one per installation: what is owed to one is not told to another.
function outboxDirectory(url, namespace) {
  const { protocol, hostname, port, pathname } = url;
  const parts = [hostname, port || (protocol === 'amqps:' ? 5671 : 5672), decodeURIComponent(pathname.slice(1)), namespace];
  const state = process.env.XDG_STATE_HOME || path.join(os.homedir(), '.local', 'state');
  return path.join(state, 'unigate-frontend-node', parts.map(encodeURIComponent).join(','));
}

async function sellACard(frontend, terminal, product) {
  const stock = await frontend.ask('card.availability', { terminal, products: [product] });
  show('card.availability', stock, ['ok'], ...(stock.products ?? []).map((p) => `${p.product}: ${p.available}`));

  const reservation = { reservation_id: randomUUID(), terminal };
  const held = await frontend.ask('card.reserve', { ...reservation, product });
  // The card's secret fields are for the receipt only; they never go to a screen or a log. A terminal with a key of
  // its own gets them sealed, and `card` is null.
  show('card.reserve', held, ['reserved'], `serial ${held.card?.serial ?? 'sealed'}`, `held until ${held.held_until}`);

  // Here the payer puts the money in. From now on the sale is a fact, whatever happens to this program.
  const sale = {
    ...reservation,
    paid_at: new Date().toISOString(),
    amount: held.price,
    currency: held.currency,
    receipt_number: '000123',
  };
  // `already_sold` is the answer to a repetition: the first one was lost on its way.
  show('card.sell', await frontend.tell('card.sell', sale, PATIENCE_MS), ['sold', 'already_sold']);
}

async function takeAPayment(frontend, terminal, payee, account) {
  const payment = {
    payment_id: randomUUID(),
    terminal,
    payee,
    account,
    amount: 15000,
    currency: 'RUB',
    fields: { payer: 'Иванов И. И.', meter_cold: '00123' },
  };
  const checked = await frontend.ask('payment.check', payment);
  show('payment.check', checked, ['payable', 'ask'], checked.display);

  const accepted = { ...payment, paid_at: new Date().toISOString(), fee: 300, receipt_number: '000124' };
  const taken = await frontend.tell('payment.accepted', accepted, PATIENCE_MS);
  show('payment.accepted', taken, ['accepted', 'already_accepted'], `number ${taken.number}`);

  const status = await frontend.ask('payment.status', { payment_id: payment.payment_id, terminal });
  show('payment.status', status, ['ok'], `state ${status.state}`);
}

function show(step, answer, expected, ...details) {
  if (!expected.includes(answer.outcome)) {
    throw new Unexpected(`${step}: ${answer.outcome}, ${answer.reason}: ${answer.detail}`);
  }
  console.log([step.padEnd(20), answer.outcome, ...details.filter(Boolean)].join('  '));
}

main();
