// Conversations and their items.
import assert from 'node:assert/strict';
import OpenAI from 'openai';

import { QUESTION, listed, raises, step } from './kit.mjs';

step('conversations: one is made, changed and deleted', async (kit) => {
  const items = [{ role: 'user', content: 'Hello.' }];
  const made = await kit.call('conversations.create', { metadata: { topic: 'hotels' }, items });
  const changed = await kit.call('conversations.update', made.id, { metadata: { topic: 'leave' } });
  assert.deepEqual(changed.metadata, { topic: 'leave' });
  assert.deepEqual(await kit.call('conversations.retrieve', made.id), changed);
  assert.ok((await kit.call('conversations.delete', made.id)).deleted);
  await raises(OpenAI.NotFoundError, kit.call('conversations.retrieve', made.id));
});

step('conversations: items are added, listed and deleted', async (kit) => {
  const { id } = await kit.call('conversations.create');
  const items = ['One.', 'Two.', 'Three.'].map((content) => ({ role: 'user', content }));
  const added = await kit.call('conversations.items.create', id, { items });
  const up = await listed(kit.call('conversations.items.list', id, { order: 'asc', limit: 2 }));
  assert.deepEqual(up.map((one) => one.id), added.data.map((one) => one.id));
  const params = { conversation_id: id };
  assert.deepEqual(await kit.call('conversations.items.retrieve', up[0].id, params), up[0]);
  assert.equal((await kit.call('conversations.items.delete', up[0].id, params)).id, id);
  await raises(OpenAI.NotFoundError, kit.call('conversations.items.retrieve', up[0].id, params));
  await kit.call('conversations.delete', id);
});

step('conversations: questions and answers become items', async (kit) => {
  const { id } = await kit.call('conversations.create');
  const answer = await kit.ask(QUESTION, { conversation: id });
  assert.equal(answer.conversation.id, id);
  const items = await listed(kit.call('conversations.items.list', id, { order: 'asc' }));
  assert.deepEqual(items.map((one) => one.type), ['message', 'file_search_call', 'message']);
  assert.equal(items[2].content[0].annotations[0].filename, 'handbook.md');
  await kit.call('conversations.delete', id);
});
