// Run every step against a server and print a line of JSON for each; exit status 1 when one failed.
import { parseArgs } from 'node:util';
import OpenAI from 'openai';
import { VERSION } from 'openai/version';

import { Kit, STEPS } from './kit.mjs';
import './steps_files.mjs';
import './steps_stores.mjs';
import './steps_responses.mjs';
import './steps_conversations.mjs';
import './steps_chat.mjs';
import './steps_transport.mjs';

const RESOURCES = [
  'files', 'uploads', 'uploads.parts', 'vectorStores', 'vectorStores.files', 'vectorStores.fileBatches', 'embeddings',
  'models', 'responses', 'responses.inputItems', 'responses.inputTokens', 'conversations', 'conversations.items',
  'chat.completions', 'chat.completions.messages',
];

/** The public methods of the resources that Footnote serves, found by introspection. */
function methods(client) {
  return RESOURCES.flatMap((path) => {
    const resource = path.split('.').reduce((found, part) => found[part], client);
    const names = Object.getOwnPropertyNames(Object.getPrototypeOf(resource));
    return names.filter((name) => name !== 'constructor' && !name.startsWith('_')).map((name) => `${path}.${name}`);
  });
}

function say(line) {
  console.log(JSON.stringify(line));
}

async function attempt({ name, run }, kit) {
  const started = performance.now();
  try {
    await run(kit);
  } catch (error) {
    const at = (error.stack ?? '').split('\n').find((line) => line.includes('steps_'))?.trim() ?? '';
    say({ step: name, ok: false, error: `${error.constructor.name}: ${error.message}`.slice(0, 1500), at });
    return false;
  }
  say({ step: name, ok: true, seconds: Math.round(performance.now() - started) / 1000 });
  return true;
}

const { values } = parseArgs({
  options: {
    'base-url': { type: 'string' },
    'api-key': { type: 'string', default: 'none' },
    manual: { type: 'string' },
    only: { type: 'string', default: '' },
  },
});
const client = new OpenAI({ baseURL: values['base-url'], apiKey: values['api-key'], maxRetries: 0, timeout: 60_000 });
const kit = new Kit(client, { run: `node-${VERSION}`, manual: values.manual });
let passed = true;
for (const one of STEPS.filter(({ name }) => name.includes(values.only))) {
  passed = (await attempt(one, kit)) && passed;
}
say({ methods: methods(client), called: [...kit.called].sort(), sdk: `openai-node ${VERSION} on Node ${process.versions.node}` });
process.exit(passed ? 0 : 1);
