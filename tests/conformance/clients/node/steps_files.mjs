// Files, uploads, models and embeddings.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import OpenAI from 'openai';

import { listed, named, raises, step } from './kit.mjs';

step('files: a file is uploaded, read and deleted', async (kit) => {
  const file = await kit.call('files.create', {
    file: named('Some words.', 'the "plan" 🚀.txt'),
    purpose: 'user_data',
    expires_after: { anchor: 'created_at', seconds: 3600 },
  });
  assert.deepEqual([file.filename, file.purpose, file.bytes], ['the "plan" 🚀.txt', 'user_data', 11]);
  assert.equal(file.expires_at - file.created_at, 3600);
  assert.deepEqual(await kit.call('files.retrieve', file.id), file);
  assert.equal(await (await kit.call('files.content', file.id)).text(), 'Some words.');
  assert.ok((await kit.call('files.delete', file.id)).deleted);
  const error = await raises(OpenAI.NotFoundError, kit.call('files.retrieve', file.id));
  assert.match(error.requestID, /^req_/);
});

step('files: a stream from the disk is uploaded, and waited for', async (kit) => {
  const file = await kit.call('files.create', { file: createReadStream(kit.manual), purpose: 'assistants' });
  assert.equal((await kit.call('files.waitForProcessing', file.id, { pollInterval: 100 })).status, 'processed');
  await kit.call('files.delete', file.id);
});

step('files: iterating fetches every page', async (kit) => {
  const made = [];
  for (let i = 0; i < 5; i += 1) {
    made.push((await kit.call('files.create', { file: named('x', `${kit.run} ${i}.txt`), purpose: 'vision' })).id);
  }
  const asked = { limit: 2, order: 'asc', purpose: 'vision' };
  const up = (await listed(kit.call('files.list', asked))).map((one) => one.id);
  assert.deepEqual(up.filter((one) => made.includes(one)), made);
  assert.equal(new Set(up).size, up.length);
  const page = await kit.call('files.list', { ...asked, after: made[2], limit: 1 });
  assert.equal(page.data[0].id, made[3]);
  assert.ok(page.hasNextPage());
  assert.equal((await page.getNextPage()).data[0].id, made[4]);
  for (const one of made) await kit.call('files.delete', one);
});

step('files: wrong requests raise the exceptions of the SDK', async (kit) => {
  const body = { file: named('x', 'a.txt'), purpose: 'nothing' };
  assert.equal((await raises(OpenAI.BadRequestError, kit.call('files.create', body))).param, 'purpose');
});

step('files: raw replies show headers', async (kit) => {
  const fileId = await kit.upload('raw.txt', 'Some words.');
  const reply = await kit.call('files.retrieve', fileId).asResponse();
  assert.match(reply.headers.get('x-request-id'), /^req_/);
  const { data, response, request_id } = await kit.call('files.retrieve', fileId).withResponse();
  assert.deepEqual([data.id, response.headers.get('x-request-id')], [fileId, request_id]);
  await kit.call('files.delete', fileId);
});

const TEXT = 'A part of a large file. '.repeat(200);

step('uploads: parts are put together in the order that is named', async (kit) => {
  const upload = await kit.call('uploads.create', {
    bytes: TEXT.length,
    filename: 'large.txt',
    mime_type: 'text/plain',
    purpose: 'assistants',
    expires_after: { anchor: 'created_at', seconds: 3600 },
  });
  assert.equal(upload.status, 'pending');
  const second = await kit.call('uploads.parts.create', upload.id, { data: named(TEXT.slice(1000), 'part') });
  const first = await kit.call('uploads.parts.create', upload.id, { data: named(TEXT.slice(0, 1000), 'part') });
  const md5 = createHash('md5').update(TEXT).digest('hex');
  const whole = await kit.call('uploads.complete', upload.id, { part_ids: [first.id, second.id], md5 });
  assert.deepEqual([whole.status, whole.file.bytes], ['completed', TEXT.length]);
  assert.equal(await (await kit.call('files.content', whole.file.id)).text(), TEXT);
  await kit.call('files.delete', whole.file.id);
});

step('uploads: a cancelled upload takes no more', async (kit) => {
  const body = { bytes: 4, filename: 'a.txt', mime_type: 'text/plain', purpose: 'assistants' };
  const upload = await kit.call('uploads.create', body);
  assert.equal((await kit.call('uploads.cancel', upload.id)).status, 'cancelled');
  await raises(OpenAI.APIError, kit.call('uploads.parts.create', upload.id, { data: named('text', 'part') }));
});

step('models: one answers, the other embeds', async (kit) => {
  const names = (await listed(kit.call('models.list'))).map((model) => model.id);
  assert.ok(names.includes('footnote'));
  for (const name of names) assert.equal((await kit.call('models.retrieve', name)).id, name);
  await raises(OpenAI.NotFoundError, kit.call('models.retrieve', 'gpt-none'));
});

step('embeddings: base64, the default, is decoded to the numbers that float spells out', async (kit) => {
  const names = (await listed(kit.call('models.list'))).map((model) => model.id);
  const model = names.find((name) => name !== 'footnote');
  const input = ['The pump is noisy.', 'Die Pumpe ist laut.'];
  const packed = await kit.call('embeddings.create', { model, input });
  const dimensions = packed.data[0].embedding.length;
  const options = { model, input, encoding_format: 'float', dimensions, user: 'someone' };
  const spelled = await kit.call('embeddings.create', options);
  packed.data.forEach(({ embedding }, i) => {
    embedding.forEach((value, j) => assert.ok(Math.abs(value - spelled.data[i].embedding[j]) < 1e-6));
    assert.ok(Math.abs(Math.hypot(...embedding) - 1) < 1e-3);
  });
});
