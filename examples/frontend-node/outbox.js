// What a front-end has to say about money, kept on disk until unigate has answered it.
'use strict';

const { randomUUID } = require('node:crypto');
const fs = require('node:fs/promises');
const path = require('node:path');

// A directory with a file per fact. It survives a crash and a power cut; the disk has it before put() resolves.
class Outbox {
  constructor(directory) {
    this.directory = directory;
  }

  async put(routingKey, body) {
    // The correlation id is the same for every repetition, so an answer to any of them settles the fact.
    const age = String(Date.now()).padStart(15, '0');
    // What is kept is what is sent, whatever the caller does with its object from here on.
    const text = JSON.stringify({ routingKey, body, correlationId: `${age}-${randomUUID()}` });
    const fact = JSON.parse(text);
    await this.#make();
    const unfinished = `${this.#path(fact)}.tmp`;
    await fs.writeFile(unfinished, text);
    await syncFile(unfinished);
    await fs.rename(unfinished, this.#path(fact));
    if (process.platform !== 'win32') await syncFile(this.directory);
    return fact;
  }

  async remove(fact) {
    await fs.rm(this.#path(fact), { force: true });
  }

  // Oldest first.
  async unanswered() {
    await this.#make();
    const names = (await fs.readdir(this.directory)).filter((name) => name.endsWith('.json')).sort();
    return Promise.all(names.map(async (name) => JSON.parse(await fs.readFile(path.join(this.directory, name), 'utf8'))));
  }

  async #make() {
    await fs.mkdir(this.directory, { recursive: true, mode: 0o700 }); // there are payers' names in it
  }

  #path(fact) {
    return path.join(this.directory, `${fact.correlationId}.json`);
  }
}

async function syncFile(name) {
  const file = await fs.open(name, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

module.exports = { Outbox };
