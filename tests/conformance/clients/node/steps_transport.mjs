// Retries, timeouts, headers.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import OpenAI from 'openai';

import { QUESTION, listed, raises, step } from './kit.mjs';

step('transport: a failed request is sent again', async (kit) => {
  const store = await kit.store();
  const patient = kit.client.withOptions({ maxRetries: 2 });
  for (const kind of ['500', '429', 'drop']) {
    assert.equal((await patient.vectorStores.retrieve(store, kit.fault(kind, 2))).id, store);
  }
  const tools = await kit.fileSearch();
  const body = { model: 'footnote', input: QUESTION, tools, stream: true };
  const events = await listed(patient.responses.create(body, kit.fault('drop')));
  assert.equal(events.at(-1).type, 'response.completed');
});

step('transport: a request that keeps failing raises', async (kit) => {
  const patient = kit.client.withOptions({ maxRetries: 2 });
  await raises(OpenAI.InternalServerError, patient.models.list(kit.fault('500', 9)));
  await raises(OpenAI.RateLimitError, patient.models.list(kit.fault('429', 9)));
  await raises(OpenAI.APIConnectionError, patient.models.list(kit.fault('drop', 9)));
});

step('transport: a request that stalls times out', async (kit) => {
  const stall = { ...kit.fault('stall'), timeout: 300 };
  await raises(OpenAI.APIConnectionTimeoutError, kit.call('models.list', stall));
  const patient = kit.client.withOptions({ maxRetries: 2, timeout: 3000 });
  assert.ok((await patient.models.list(kit.fault('stall'))).data.length);
});

step('transport: an idempotency key makes one store of two requests', async (kit) => {
  const options = { headers: { 'Idempotency-Key': randomUUID() } };
  const first = await kit.call('vectorStores.create', { name: `once ${kit.run}` }, options);
  const second = await kit.call('vectorStores.create', { name: `once ${kit.run}` }, options);
  assert.deepEqual(first, second);
  await kit.call('vectorStores.delete', first.id);
});
