// Responses.
import assert from 'node:assert/strict';
import OpenAI from 'openai';

import { QUESTION, listed, raises, step } from './kit.mjs';

const INCLUDE = ['file_search_call.results'];

/** The annotations of the message, each read again from the stored text. */
async function citations(kit, response) {
  const message = response.output.at(-1);
  assert.equal(message.content[0].text, response.output_text);
  for (const note of message.content[0].annotations) {
    const stored = await kit.client.get(`/vector_stores/${note.vector_store_id}/files/${note.file_id}/text`);
    // Positions are characters, not JavaScript's half characters.
    assert.equal([...stored.text].slice(note.start, note.end).join(''), note.quote);
    assert.ok(note.chunk_id && note.score >= 0 && note.score <= 1 && 'page' in note && 'box' in note);
  }
  return message.content[0].annotations;
}

step('responses: an answer carries citations that are true', async (kit) => {
  const response = await kit.ask(QUESTION, { include: INCLUDE });
  assert.equal(response.status, 'completed');
  assert.match(response.output_text, /140 euros/);
  const [note] = await citations(kit, response);
  assert.deepEqual([note.type, note.filename], ['file_citation', 'handbook.md']);
  const [search] = response.output;
  assert.ok(search.results.some((one) => one.text.includes('140 euros')));
  assert.deepEqual(search.results[0].attributes, { year: 2025, valid: true, team: 'people' });
  assert.equal(response.outcome, 'answered');
  assert.ok(response.seconds);
  const again = await kit.call('responses.retrieve', response.id, { include: INCLUDE });
  assert.equal(again.output_text, response.output_text);
  await kit.call('responses.delete', response.id);
  await raises(OpenAI.NotFoundError, kit.call('responses.retrieve', response.id));
});

step('responses: what the documents do not hold is not answered', async (kit) => {
  const response = await kit.ask('Who painted the ceiling of the Sistine Chapel?');
  assert.equal(response.outcome, 'not_in_documents');
  assert.deepEqual(await citations(kit, response), []);
});

step('responses: a stream yields the same answer', async (kit) => {
  const events = await listed(kit.ask(QUESTION, { stream: true }));
  assert.deepEqual(events.map((event) => event.sequence_number), [...events.keys()]);
  const deltas = events.filter((event) => event.type === 'response.output_text.delta').map((event) => event.delta);
  assert.equal(events.at(-1).type, 'response.completed');
  assert.equal(deltas.join(''), events.at(-1).response.output.at(-1).content[0].text);
});

step('responses: the accumulator is content', async (kit) => {
  const body = { model: 'footnote', input: QUESTION, tools: await kit.fileSearch() };
  const stream = kit.call('responses.stream', body);
  const kinds = new Set();
  for await (const event of stream) kinds.add(event.type);
  const final = await stream.finalResponse();
  assert.ok(kinds.has('response.output_text.annotation.added'));
  assert.match(final.output_text, /140 euros/);
  assert.ok((await citations(kit, final)).length);
  const parsed = await kit.call('responses.parse', body);
  assert.equal(parsed.output_text, final.output_text);
  assert.equal(parsed.output_parsed, null);
});

step('responses: mistakes have their exceptions', async (kit) => {
  const error = await raises(OpenAI.NotFoundError, kit.ask(QUESTION, { model: 'gpt-none' }));
  assert.equal(error.param, 'model');
  await raises(OpenAI.BadRequestError, kit.ask(QUESTION, { tools: [{ type: 'web_search' }] }));
});

step('responses: an answer carries on, and its input items are listed', async (kit) => {
  const first = await kit.ask();
  const second = await kit.ask('And what about breakfast?', { previous_response_id: first.id });
  assert.equal(second.previous_response_id, first.id);
  const items = await listed(kit.call('responses.inputItems.list', first.id, { limit: 1, order: 'asc' }));
  assert.equal(items[0].content[0].text, QUESTION);
});

step('responses: tokens are counted', async (kit) => {
  const short = await kit.call('responses.inputTokens.count', { model: 'footnote', input: 'Hotel?' });
  const long = await kit.call('responses.inputTokens.count', { model: 'footnote', input: QUESTION.repeat(3) });
  assert.ok(short.input_tokens > 0 && short.input_tokens < long.input_tokens);
});

step('responses: an answer in the background is polled and cancelled', async (kit) => {
  const begun = await kit.ask(QUESTION, { background: true });
  assert.ok(['queued', 'in_progress'].includes(begun.status));
  const ended = await kit.until(
    () => kit.call('responses.retrieve', begun.id),
    (one) => !['queued', 'in_progress'].includes(one.status),
  );
  assert.equal(ended.status, 'completed');
  const other = await kit.ask(QUESTION, { background: true });
  assert.ok(['cancelled', 'completed'].includes((await kit.call('responses.cancel', other.id)).status));
});

step('responses: a stream in the background is taken up again', async (kit) => {
  const events = await listed(kit.ask(QUESTION, { background: true, stream: true }));
  const { id } = events.at(-1).response;
  const again = await listed(kit.call('responses.retrieve', id, { stream: true, starting_after: 3 }));
  assert.deepEqual(
    again.map((event) => event.sequence_number),
    events.map((event) => event.sequence_number).filter((number) => number > 3),
  );
  const stream = kit.call('responses.stream', { response_id: id, starting_after: 2 });
  const seen = await listed(stream);
  assert.equal(seen[0].sequence_number, 3);
  assert.match((await stream.finalResponse()).output_text, /140 euros/);
});

step('responses: raw replies show headers', async (kit) => {
  const tools = await kit.fileSearch();
  const promise = kit.call('responses.create', { model: 'footnote', input: QUESTION, tools });
  const { data, response } = await promise.withResponse();
  assert.match(data.output_text, /140 euros/);
  assert.match(response.headers.get('x-request-id'), /^req_/);
});
