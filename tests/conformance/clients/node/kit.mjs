// What the steps share: one way to call the client, and a document to ask about.
import assert from 'node:assert/strict';

export const HANDBOOK =
  '# Handbook\n\n## Leave\n\nEvery employee has thirty days of paid leave in a year. ' +
  'Leave that was not taken expires on 31 March of the next year.\n\n' +
  '## Travel\n\nA hotel may cost at most 140 euros a night, breakfast included. ' +
  'Taxis are paid for when no train runs after ten in the evening.\n';
export const QUESTION = 'How much may a hotel cost a night?';
export const STATIC = { type: 'static', static: { max_chunk_size_tokens: 100, chunk_overlap_tokens: 20 } };

export const STEPS = [];

/** Enter a step; steps run in the order in which they are entered. */
export function step(name, run) {
  STEPS.push({ name, run });
}

export class Kit {
  #faults = 0;
  #handbook;
  #store;

  constructor(client, { run, manual }) {
    this.client = client;
    this.run = run;
    this.manual = manual;
    this.called = new Set();
  }

  /** Call a method by its dotted name; what it returns is a promise, a page or a stream. */
  call(name, ...given) {
    this.called.add(name);
    const parts = name.split('.');
    const method = parts.pop();
    const resource = parts.reduce((found, part) => found[part], this.client);
    return resource[method](...given);
  }

  /** The options that let the next `times` requests that carry them fail. */
  fault(kind, times = 1) {
    this.#faults += 1;
    return { headers: { 'x-conformance-fault': `${this.run}-${this.#faults} ${kind} ${times}` } };
  }

  /** The id of a new file. */
  async upload(name, text) {
    return (await this.call('files.create', { file: named(text, name), purpose: 'assistants' })).id;
  }

  /** The id of the file that every answer is looked for in. */
  async handbook() {
    this.#handbook ??= await this.upload('handbook.md', HANDBOOK);
    return this.#handbook;
  }

  /** The id of a store that holds the handbook, with attributes of every type. */
  async store() {
    if (this.#store === undefined) {
      const store = await this.call('vectorStores.create', { name: `handbook ${this.run}` });
      const body = { file_id: await this.handbook(), attributes: { year: 2025, valid: true, team: 'people' } };
      const entry = await this.call('vectorStores.files.createAndPoll', store.id, body);
      assert.equal(entry.status, 'completed');
      this.#store = store.id;
    }
    return this.#store;
  }

  async fileSearch(options = {}) {
    return [{ type: 'file_search', vector_store_ids: [await this.store()], ...options }];
  }

  /** A response, of the handbook unless `tools` says otherwise. */
  async ask(input = QUESTION, options = {}) {
    return this.call('responses.create', {
      model: 'footnote',
      input,
      tools: options.tools ?? (await this.fileSearch()),
      ...options,
    });
  }

  async search(store, query, options = {}) {
    return listed(this.call('vectorStores.search', store, { query, ...options }));
  }

  /** The first result of `look` for which `isWanted` holds. */
  async until(look, isWanted) {
    for (const deadline = Date.now() + 60_000; ; ) {
      const found = await look();
      if (isWanted(found)) return found;
      assert.ok(Date.now() < deadline, JSON.stringify(found));
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

export function named(text, name) {
  return new File([text], name);
}

/** Everything that a page, its following pages or a stream give. */
export async function listed(pages) {
  const found = [];
  for await (const one of await pages) found.push(one);
  return found;
}

/** The error that has to come, of this class. */
export async function raises(kind, promise) {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof kind, `${error.constructor.name}: ${error.message}`);
    return error;
  }
  assert.fail(`${kind.name} was not raised`);
}
