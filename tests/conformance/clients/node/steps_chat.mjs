// Chat completions.
import assert from 'node:assert/strict';
import OpenAI from 'openai';

import { HANDBOOK, QUESTION, listed, raises, step } from './kit.mjs';

async function asked(kit, options = {}) {
  return {
    model: 'footnote',
    messages: [{ role: 'user', content: QUESTION }],
    file_search: { vector_store_ids: [await kit.store()] },
    ...options,
  };
}

step('chat: a chat is answered with citations', async (kit) => {
  const whole = await kit.call('chat.completions.create', await asked(kit));
  assert.match(whole.choices[0].message.content, /140 euros/);
  assert.ok(HANDBOOK.includes(whole.citations[0].quote));
  const parsed = await kit.call('chat.completions.parse', await asked(kit));
  assert.equal(parsed.choices[0].message.content, whole.choices[0].message.content);
});

step('chat: a chat streams with its usage', async (kit) => {
  const body = await asked(kit, { stream: true, stream_options: { include_usage: true } });
  const chunks = await listed(kit.call('chat.completions.create', body));
  assert.match(chunks.flatMap((one) => one.choices).map((one) => one.delta.content ?? '').join(''), /140 euros/);
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.ok(chunks.at(-1).usage.total_tokens > 0);
});

step('chat: the accumulator is content', async (kit) => {
  const stream = kit.call('chat.completions.stream', await asked(kit));
  for await (const chunk of stream) assert.equal(chunk.object, 'chat.completion.chunk');
  assert.match(await stream.finalContent(), /140 euros/);
});

step('chat: mistakes have their exceptions', async (kit) => {
  await raises(OpenAI.NotFoundError, kit.call('chat.completions.create', await asked(kit, { model: 'gpt-none' })));
});
