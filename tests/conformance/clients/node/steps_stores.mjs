// Vector stores, their files, batches and search.
import assert from 'node:assert/strict';
import { createReadStream } from 'node:fs';
import OpenAI from 'openai';

import { QUESTION, STATIC, listed, named, raises, step } from './kit.mjs';

const DAY_S = 86_400;

step('stores: a store is made, changed and deleted', async (kit) => {
  const fileId = await kit.upload('short.txt', 'The lighthouse on Skerry Rock was lit in 1844.');
  const store = await kit.call('vectorStores.create', {
    name: `made ${kit.run}`,
    description: 'What is kept about lighthouses',
    file_ids: [fileId],
    chunking_strategy: STATIC,
    expires_after: { anchor: 'last_active_at', days: 3 },
    metadata: { owner: 'depot' },
  });
  assert.equal(store.expires_at - store.last_active_at, 3 * DAY_S);
  const ready = await kit.until(
    () => kit.call('vectorStores.retrieve', store.id),
    (one) => one.status === 'completed',
  );
  assert.deepEqual([ready.file_counts.completed, ready.file_counts.in_progress], [1, 0]);
  const body = { name: 'Renamed', metadata: { owner: 'harbour' }, expires_after: null };
  const changed = await kit.call('vectorStores.update', store.id, body);
  assert.deepEqual([changed.name, changed.metadata], ['Renamed', { owner: 'harbour' }]);
  assert.ok((await kit.call('vectorStores.delete', store.id)).deleted);
  await raises(OpenAI.NotFoundError, kit.call('vectorStores.retrieve', store.id));
  await kit.call('files.delete', fileId);
});

step('stores: iterating fetches every page', async (kit) => {
  const made = [];
  for (let i = 0; i < 5; i += 1) {
    made.push((await kit.call('vectorStores.create', { name: `page ${kit.run} ${i}` })).id);
  }
  const down = (await listed(kit.call('vectorStores.list', { limit: 2, order: 'desc' }))).map((one) => one.id);
  assert.deepEqual(down.filter((one) => made.includes(one)), made.toReversed());
  const page = await kit.call('vectorStores.list', { before: made[2], limit: 2, order: 'desc' });
  assert.deepEqual(page.data.map((one) => one.id), [made[4], made[3]]);
  const rest = await listed(kit.call('vectorStores.list', { after: made[2], order: 'asc' }));
  assert.deepEqual(rest.slice(0, 2).map((one) => one.id), made.slice(3));
  for (const one of made) await kit.call('vectorStores.delete', one);
});

step('stores: a file is attached, watched, changed and taken out', async (kit) => {
  const store = await kit.call('vectorStores.create', { name: `entries ${kit.run}` });
  const fileId = await kit.upload('inn.txt', 'The inn stands by the river. '.repeat(40));
  const made = await kit.call('vectorStores.files.create', store.id, {
    file_id: fileId,
    attributes: { year: 2025, valid: true, team: 'inns' },
    chunking_strategy: STATIC,
  });
  assert.deepEqual([made.id, made.status], [fileId, 'in_progress']);
  const entry = await kit.call('vectorStores.files.poll', store.id, fileId);
  assert.equal(entry.status, 'completed');
  assert.deepEqual(entry.attributes, { year: 2025, valid: true, team: 'inns' });
  assert.ok(entry.coverage.chunks > 1);
  assert.deepEqual([entry.warnings, entry.progress, entry.seconds_left], [[], 1, null]);
  const params = { vector_store_id: store.id };
  const changed = await kit.call('vectorStores.files.update', fileId, { ...params, attributes: { year: 2026 } });
  assert.deepEqual(changed.attributes, { year: 2026 });
  const filters = { type: 'eq', key: 'year', value: 2026 };
  assert.deepEqual((await kit.search(store.id, 'inn', { filters }))[0].attributes, { year: 2026 });
  assert.deepEqual(await kit.call('vectorStores.files.retrieve', fileId, params), changed);
  const parts = await listed(kit.call('vectorStores.files.content', fileId, params));
  assert.ok(parts.every((part) => part.text.includes('inn')));
  const entries = await listed(kit.call('vectorStores.files.list', store.id, { filter: 'completed', limit: 1 }));
  assert.deepEqual(entries.map((one) => one.id), [fileId]);
  assert.ok((await kit.call('vectorStores.files.delete', fileId, params)).deleted);
  assert.deepEqual(await kit.search(store.id, 'inn'), []);
  await kit.call('vectorStores.delete', store.id);
  await kit.call('files.delete', fileId);
});

step('stores: the helpers upload, attach and wait', async (kit) => {
  const store = await kit.call('vectorStores.create', { name: `helpers ${kit.run}` });
  const begun = await kit.call('vectorStores.files.upload', store.id, named('The barn is red.', 'barn.txt'));
  const mill = named('The mill is white.', 'mill.txt');
  const entry = await kit.call('vectorStores.files.uploadAndPoll', store.id, mill, { pollIntervalMs: 100 });
  assert.equal(entry.status, 'completed');
  assert.equal((await kit.call('vectorStores.files.poll', store.id, begun.id)).status, 'completed');
  const again = await kit.call('vectorStores.files.createAndPoll', store.id, { file_id: entry.id });
  assert.equal(again.id, entry.id);
  const { completed, total } = (await kit.call('vectorStores.retrieve', store.id)).file_counts;
  assert.deepEqual([completed, total], [2, 2]);
  await kit.call('files.delete', entry.id);
  const left = await kit.search(store.id, 'mill');
  assert.ok(left.every((found) => found.file_id !== entry.id));
  await kit.call('files.delete', begun.id);
  await kit.call('vectorStores.delete', store.id);
});

step('stores: a PDF brings pages and boxes', async (kit) => {
  const store = await kit.call('vectorStores.create', { name: `manual ${kit.run}` });
  const manual = createReadStream(kit.manual);
  const entry = await kit.call('vectorStores.files.uploadAndPoll', store.id, manual);
  assert.equal(entry.status, 'completed');
  assert.ok(entry.coverage.pages > 1);
  const [found] = await kit.search(store.id, 'fault code', { max_num_results: 1 });
  assert.ok(found.page >= 1 && found.box.length === 4 && found.end > found.start && found.chunk_id);
  await kit.call('files.delete', entry.id);
  await kit.call('vectorStores.delete', store.id);
});

step('stores: batches are made, polled, listed and cancelled', async (kit) => {
  const store = await kit.call('vectorStores.create', { name: `batches ${kit.run}` });
  const ids = [];
  for (const name of ['mill', 'inn', 'barn']) {
    ids.push(await kit.upload(`${name}.txt`, `The ${name} stands by the river.`));
  }
  const shared = await kit.call('vectorStores.fileBatches.createAndPoll', store.id, {
    file_ids: ids.slice(0, 2),
    attributes: { kind: 'shared' },
  });
  assert.deepEqual([shared.status, shared.file_counts.completed], ['completed', 2]);
  const own = await kit.call('vectorStores.fileBatches.create', store.id, {
    files: [{ file_id: ids[2], attributes: { kind: 'own' }, chunking_strategy: STATIC }],
  });
  assert.equal((await kit.call('vectorStores.fileBatches.poll', store.id, own.id)).status, 'completed');
  const params = { vector_store_id: store.id };
  assert.equal((await kit.call('vectorStores.fileBatches.retrieve', own.id, params)).id, own.id);
  const sent = await kit.call('vectorStores.fileBatches.uploadAndPoll', store.id, {
    files: [named('The forge is cold.', 'forge.txt'), named('The quay is long.', 'quay.txt')],
    fileIds: ids.slice(0, 1),
  });
  assert.deepEqual([sent.file_counts.total, sent.file_counts.in_progress], [3, 0]);
  const files = await listed(kit.call('vectorStores.fileBatches.listFiles', sent.id, { ...params, limit: 1 }));
  assert.deepEqual(files.map((one) => one.filename).sort(), ['forge.txt', 'mill.txt', 'quay.txt']);
  assert.equal((await kit.call('vectorStores.fileBatches.cancel', sent.id, params)).id, sent.id);
  for (const one of await listed(kit.call('vectorStores.files.list', store.id))) await kit.call('files.delete', one.id);
  await kit.call('vectorStores.delete', store.id);
});

step('stores: a search takes every option', async (kit) => {
  const store = await kit.store();
  const filters = {
    type: 'and',
    filters: [
      { type: 'eq', key: 'valid', value: true },
      { type: 'or', filters: [{ type: 'in', key: 'year', value: [2024, 2025] }] },
    ],
  };
  for (const query of [QUESTION, [QUESTION, 'breakfast']]) {
    const found = await kit.search(store, query, {
      filters,
      max_num_results: 2,
      ranking_options: { ranker: 'auto', score_threshold: 0 },
      rewrite_query: false,
    });
    assert.ok(found.some((one) => one.content[0].text.includes('140 euros')));
    assert.ok(found.every((one) => one.score >= 0 && one.score <= 1));
  }
  assert.deepEqual(await kit.search(store, 'hotel', { filters: { type: 'nin', key: 'year', value: [2025] } }), []);
  const error = await raises(OpenAI.BadRequestError, kit.search(store, 'hotel', { max_num_results: 1000 }));
  assert.equal(error.param, 'max_num_results');
});
