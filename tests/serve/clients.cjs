// Unmodified JavaScript clients against a server; arguments: its URL, and the name of a sentence-transformers model (may be missing).
const url = process.argv[2], vectors = process.argv[3], model = 'smollm2';
const messages = [{ role: 'user', content: 'What is the capital of France?' }];
const pixel = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
const schema = {
  type: 'object',
  properties: { city: { type: 'string', maxLength: 12 }, size: { type: 'integer', minimum: 0, maximum: 99 } },
  required: ['city', 'size'],
  additionalProperties: false,
};
let failed = 0;
async function check(name, action) {
  try {
    await action();
    console.log('ok', name);
  } catch (error) {
    failed = 1;
    console.log('FAILED', name, error);
  }
}
const need = (condition, what) => {
  if (!condition) throw new Error(what);
};
async function raises(action, test, what) {
  let error;
  try {
    await action();
  } catch (e) {
    error = e;
  }
  need(error && test(error), `${what}: ${error}`);
}
(async () => {
  await check('js_ollama', async () => {
    const { Ollama } = require('ollama');
    const client = new Ollama({ host: url });
    const options = { temperature: 0, num_predict: 12 };
    const whole = await client.chat({ model, messages, options });
    let text = '';
    for await (const part of await client.chat({ model, messages, options, stream: true })) text += part.message.content;
    need(text === whole.message.content && text, 'stream differs');
    const generated = await client.generate({ model, prompt: messages[0].content, options });
    need(generated.response === text, 'generate differs');
    const shaped = JSON.parse((await client.chat({ model, messages, format: schema, options: { temperature: 0, num_predict: 80 } })).message.content);
    need(typeof shaped.city === 'string' && Number.isInteger(shaped.size), 'format');
    need((await client.list()).models.length > 0, 'no models');
    need((await client.show({ model })).details.family === 'llama', 'show');
    need((await client.ps()).models.length > 0, 'ps');
    need((await client.embed({ model, input: ['a', 'b'] })).embeddings.length === 2, 'embed');
    need((await client.embeddings({ model, prompt: 'a' })).embedding.length === 576, 'embeddings');
    await client.copy({ source: model, destination: 'jay' });
    await client.delete({ model: 'jay' });
    let last;
    for await (const part of await client.create({ model: 'finch', from: model, system: 'You are a finch.', stream: true })) last = part;
    need(last.status === 'success', 'create');
    await client.delete({ model: 'finch' });
    for await (const part of await client.pull({ model, stream: true })) last = part;
    need(last.status === 'success', 'pull');
    await raises(() => client.show({ model: 'none' }), e => e.status_code === 404, 'show of nothing');
    await raises(() => client.generate({ model, prompt: '?', images: [pixel] }), e => e.status_code === 400 && /vision/.test(e.message), 'image');
    // A stream that is given up frees the server.
    const stream = await client.generate({ model, prompt: 'Count to a thousand.', stream: true, options: { num_predict: 500 } });
    await raises(async () => {
      for await (const part of stream) if (part.response) stream.abort();
    }, e => e.name === 'AbortError', 'abort');
  });
  await check('js_openai', async () => {
    const OpenAI = require('openai').default ?? require('openai');
    const client = new OpenAI({ baseURL: url + '/v1', apiKey: 'x', maxRetries: 0 });
    const answer = await client.chat.completions.create({ model, messages, max_tokens: 8, temperature: 0 });
    let text = '', usage;
    const stream = await client.chat.completions.create({ model, messages, max_tokens: 8, temperature: 0, stream: true, stream_options: { include_usage: true } });
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta?.content ?? '';
      usage = chunk.usage ?? usage;
    }
    need(text && text === answer.choices[0].message.content && usage.completion_tokens === answer.usage.completion_tokens, 'stream differs');
    need((await client.embeddings.create({ model, input: 'a' })).data[0].embedding.length === 576, 'embedding');
    need((await client.completions.create({ model, prompt: 'Once', max_tokens: 4 })).choices[0].text, 'completion');
    const response = await client.responses.create({ model, input: 'Hi', max_output_tokens: 6 });
    need(response.output_text, 'responses');
    let events = [];
    for await (const event of await client.responses.create({ model, input: 'Hi', max_output_tokens: 6, stream: true })) events.push(event.type);
    need(events[0] === 'response.created' && /completed|incomplete/.test(events.at(-1)), 'response events');
    let models = 0;
    for await (const _ of client.models.list()) ++models;
    need(models > 0, 'models');
    await raises(() => client.chat.completions.create({ model: 'none', messages }), e => e instanceof OpenAI.NotFoundError, 'unknown model');
    await raises(() => client.chat.completions.create({ model, messages, temperature: 9 }), e => e instanceof OpenAI.BadRequestError && e.param === 'temperature', 'temperature');
  });
  await check('js_huggingface', async () => {
    const { InferenceClient } = await import(require.resolve('@huggingface/inference'));
    const client = new InferenceClient('hf_x', { endpointUrl: `${url}/models/${model}` });
    const answer = await client.chatCompletion({ messages, max_tokens: 8, temperature: 0 });
    let text = '';
    for await (const chunk of client.chatCompletionStream({ messages, max_tokens: 8, temperature: 0 })) text += chunk.choices[0]?.delta?.content ?? '';
    need(text && text === answer.choices[0].message.content, 'stream differs');
    const generated = await client.textGeneration({ inputs: 'The capital of France is', parameters: { max_new_tokens: 8 } });
    need(typeof generated.generated_text === 'string', 'text generation');
    if (vectors) {
      const other = new InferenceClient('hf_x', { endpointUrl: `${url}/models/${vectors}` });
      const scores = await other.sentenceSimilarity({ inputs: { source_sentence: 'A bird sings', sentences: ['A bird sang', 'Taxes are due'] } });
      need(scores[0] > scores[1], 'similarity');
      const row = await other.featureExtraction({ inputs: 'A bird sings' });
      need(row.length === 384, 'features');
    }
    await raises(() => new InferenceClient('hf_x', { endpointUrl: `${url}/models/none` }).chatCompletion({ messages }), e => /not (found|exist)/.test(JSON.stringify([e.message, e.httpResponse?.body])), 'unknown model');
  });
  process.exit(failed);
})();
