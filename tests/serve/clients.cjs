// Unmodified JavaScript clients against a server; argument: its URL.
const url = process.argv[2], model = 'smollm2';
const messages = [{ role: 'user', content: 'What is the capital of France?' }];
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
(async () => {
  await check('js_ollama', async () => {
    const { Ollama } = require('ollama');
    const client = new Ollama({ host: url });
    const options = { temperature: 0, num_predict: 12 };
    const whole = await client.chat({ model, messages, options });
    let text = '';
    for await (const part of await client.chat({ model, messages, options, stream: true })) text += part.message.content;
    need(text === whole.message.content && text, 'stream differs');
    need((await client.list()).models.length > 0, 'no models');
    need((await client.show({ model })).details.family === 'llama', 'show');
  });
  await check('js_openai', async () => {
    const OpenAI = require('openai').default ?? require('openai');
    const client = new OpenAI({ baseURL: url + '/v1', apiKey: 'x' });
    const answer = await client.chat.completions.create({ model, messages, max_tokens: 8 });
    need(answer.choices[0].message.content, 'no text');
    let text = '';
    for await (const chunk of await client.chat.completions.create({ model, messages, max_tokens: 8, stream: true })) text += chunk.choices[0]?.delta?.content ?? '';
    need(text, 'no stream');
    need((await client.embeddings.create({ model, input: 'a' })).data[0].embedding.length === 576, 'embedding');
  });
  await check('js_huggingface', async () => {
    const { InferenceClient } = await import(require.resolve('@huggingface/inference'));
    const client = new InferenceClient('hf_x', { endpointUrl: `${url}/models/${model}` });
    const answer = await client.chatCompletion({ messages, max_tokens: 8 });
    need(answer.choices[0].message.content, 'no text');
    const text = await client.textGeneration({ inputs: 'The capital of France is', parameters: { max_new_tokens: 8 } });
    need(typeof text.generated_text === 'string', 'text generation');
  });
  process.exit(failed);
})();
