// The page of GET / in a browser without a screen, against the built server: what is typed is answered, what a model says stays text,
// the keyboard, the themes and pictures work, nothing breaks the page's own policy. Arguments: the program, the folder of golden models.
// Exit code 77: there is no chromium here.
'use strict';
const {spawn, spawnSync} = require('child_process');
const fs = require('fs'), os = require('os'), path = require('path');

const [program, golden] = process.argv.slice(2);
const browserName = [process.env.MYNAH_CHROMIUM, 'chromium-headless-shell', 'chromium', 'chromium-browser', 'google-chrome']
  .find(name => name && spawnSync(name, ['--version'], {stdio: 'ignore'}).status === 0);
if (!browserName) process.exit(77);

const home = fs.mkdtempSync(path.join(os.tmpdir(), 'mynah-page-'));
const env = {...process.env, MYNAH_HOME: path.join(home, 'store'), MYNAH_OFFLINE: '1'};
delete env.OLLAMA_HOST;
let failed = 0;
const children = [];
function holds(what, got, expected = true) {
  const same = JSON.stringify(got) === JSON.stringify(expected);
  console.log(same ? `ok ${what}` : `FAILED ${what}: ${JSON.stringify(got)}, expected ${JSON.stringify(expected)}`);
  if (!same) failed = 1;
}
const pause = ms => new Promise(done => setTimeout(done, ms));
async function until(what, test) {
  for (let i = 0; i < 1200; ++i) {
    const got = await test();
    if (got) return got;
    await pause(50);
  }
  throw new Error(`waited in vain for: ${what}`);
}

async function startServer() {
  fs.writeFileSync(path.join(home, 'Modelfile'), `FROM ${golden}/models/gguf_llama_f32/model.gguf\nPARAMETER num_predict 12\n`);
  const made = spawnSync(program, ['create', 'tiny', '-f', path.join(home, 'Modelfile')], {env, encoding: 'utf8'});
  if (made.status !== 0) throw new Error(made.stderr);
  const server = spawn(program, ['serve', '--port', '0'], {env, stdio: ['ignore', 'ignore', 'pipe']});
  children.push(server);
  let log = '';
  server.stderr.on('data', data => { log += data; });
  return until('the server', () => /listening on (\S+)/.exec(log)?.[1]);
}

// The browser's own protocol over two pipes.
async function startBrowser() {
  const browser = spawn(browserName, ['--headless', '--no-sandbox', '--disable-gpu', '--remote-debugging-pipe', `--user-data-dir=${home}/profile`, 'about:blank'],
                        {stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'], env: {...env, HOME: home}});
  children.push(browser);
  const [, , , to, from] = browser.stdio;
  let number = 0, rest = '';
  const waiting = new Map(), events = [];
  from.on('data', data => {
    const parts = (rest + data).split('\0');
    rest = parts.pop();
    for (const text of parts) {
      const message = JSON.parse(text);
      if (message.id) waiting.get(message.id)(message);
      else events.push(message);
    }
  });
  const ask = (method, params = {}, sessionId) => new Promise((done, wrong) => {
    waiting.set(++number, message => message.error ? wrong(new Error(`${method}: ${message.error.message}`)) : done(message.result));
    to.write(JSON.stringify({id: number, method, params, sessionId}) + '\0');
  });
  const {targetId} = await ask('Target.createTarget', {url: 'about:blank'});
  const {sessionId} = await ask('Target.attachToTarget', {targetId, flatten: true});
  const tell = (method, params) => ask(method, params, sessionId);
  for (const domain of ['Page', 'Runtime', 'Log']) await tell(domain + '.enable');
  return {
    events, tell,
    async eval(text) {
      const {result, exceptionDetails} = await tell('Runtime.evaluate', {expression: `(async () => (${text}))()`, awaitPromise: true, returnByValue: true});
      if (exceptionDetails) throw new Error(`${text}: ${exceptionDetails.exception?.description || exceptionDetails.text}`);
      return result.value;
    },
    async press(key, modifiers = 0, text) {
      const code = {Enter: 13, Escape: 27, ArrowUp: 38, n: 78}[key];
      for (const type of ['keyDown', 'keyUp']) await tell('Input.dispatchKeyEvent', {type, key, modifiers, windowsVirtualKeyCode: code, ...(type === 'keyDown' && text ? {text} : {})});
    },
    type: text => tell('Input.insertText', {text}),
  };
}

// Replaces the answers of /api/chat in the page: the pieces come one by one, and `asked` and `left` say what the page did.
const kFake = pieces => `(() => {
  const real = window.realFetch = window.realFetch || window.fetch;
  window.asked = null; window.left = false;
  window.fetch = (address, options) => {
    if (address !== '/api/chat') return real(address, options);
    window.asked = JSON.parse(options.body);
    const pieces = ${JSON.stringify(pieces)}, encoder = new TextEncoder();
    const body = new ReadableStream({start(out) {
      options.signal.addEventListener('abort', () => { window.left = true; out.error(new DOMException('left', 'AbortError')); });
      for (const p of pieces) if (p !== null) out.enqueue(encoder.encode(JSON.stringify({message: {role: 'assistant', content: p}, done: false}) + '\\n'));
      if (pieces.includes(null)) return;  // it goes on for ever
      out.enqueue(encoder.encode(JSON.stringify({message: {content: ''}, done: true, eval_count: 3, eval_duration: 1e9}) + '\\n'));
      out.close();
    }});
    return Promise.resolve(new Response(body, {status: 200}));
  };
})()`;

const kHostile = [
  '# Title\n\n<img src=x onerror="window.pwned=1"> <script>window.pwned=1</script>\n\n',
  '[a](javascript:window.pwned=1) [b](https://example.org/?q=1) ![c](https://example.org/c.png) <https://example.org>\n\n',
  '- one\n- two `<b>`\n  - deeper\n\n1. first\n2. second\n\n> quoted **bold *it*** ~~gone~~\n\n',
  '```js\nlet a = "</script><img src=x onerror=window.pwned=1>";\n```\n\n| h | i |\n|---|:-:|\n| **1** | 2 |\n\nsnake_case_name and 2 * 3 * 4\n\n',
  '>'.repeat(4000) + '\n' + '*'.repeat(3000) + '[['.repeat(2000)];

async function main() {
  const url = await startServer();
  const b = await startBrowser();
  await b.tell('Page.navigate', {url});
  await until('the list of models', () => b.eval(`document.querySelector('#model')?.value === 'tiny:latest'`));
  holds('the message box has the focus', await b.eval('document.activeElement.id'), 'text');

  // A real answer, by the keyboard alone.
  await b.type('Hello');
  await b.press('Enter', 0, '\r');
  await until('an answer', () => b.eval(`/tokens/.test(document.querySelector('article.assistant .foot')?.textContent)`));
  holds('what was asked is shown', await b.eval(`document.querySelector('article.user .body').textContent`), 'Hello');
  holds('both turns are kept', await b.eval('messages.map(m => m.role).join()'), 'user,assistant');
  const direct = await (await fetch(url + '/api/chat', {method: 'POST', body: JSON.stringify({model: 'tiny', stream: false, options: {temperature: 0}, messages: [{role: 'user', content: 'Hi'}]})})).json();
  await b.eval('fresh()');
  await b.eval(`document.querySelector('#temperature').value = '0'`);
  await b.type('Hi');
  await b.press('Enter', 0, '\r');
  await until('the same answer', () => b.eval(`/tokens/.test(document.querySelector('article.assistant .foot')?.textContent)`));
  holds('it is what the API answers', await b.eval('messages[1].content'), direct.message.content);
  await b.press('ArrowUp');
  holds('Arrow up takes the last message back', await b.eval(`document.querySelector('#text').value`), 'Hi');

  // What a model says.
  await b.press('n', 1);
  holds('Alt+N begins a new chat', await b.eval(`[messages.length, document.querySelectorAll('article').length]`), [0, 0]);
  await b.eval(`document.querySelector('#text').value = ''`);
  await b.eval(kFake(kHostile));
  await b.type('x');
  const begin = Date.now();
  await b.press('Enter', 0, '\r');
  await until('the hostile answer', () => b.eval(`/tokens/.test(document.querySelector('article.assistant .foot')?.textContent)`));
  holds('hostile text is shown in good time', Date.now() - begin < 5000);
  const count = selector => b.eval(`document.querySelectorAll('article.assistant .body .body ' + ${JSON.stringify(selector)}).length`);
  for (const tag of ['img', 'script', 'iframe', 'style']) holds(`no <${tag}> from the model`, await count(tag), 0);
  holds('the markup is shown as text', await b.eval(`document.querySelector('article.assistant').textContent.includes('<img src=x onerror="window.pwned=1">')`));
  holds('links lead to http alone', await b.eval(`[...document.querySelectorAll('article.assistant a')].map(a => a.href)`), ['https://example.org/?q=1', 'https://example.org/c.png', 'https://example.org/']);
  holds('links are closed off', await b.eval(`[...document.querySelectorAll('article.assistant a')].every(a => a.target === '_blank' && a.rel.includes('noopener') && a.rel.includes('noreferrer'))`));
  for (const [tag, n] of [['h3', 1], ['ul', 2], ['ol', 1], ['ol > li', 2], ['pre > code', 1], ['th', 2], ['td', 2], ['del', 1], ['td strong', 1]]) holds(`${tag} of Markdown`, await count(tag), n);
  holds('words with underscores stay', await b.eval(`document.querySelector('article.assistant').textContent.includes('snake_case_name and 2 * 3 * 4')`));
  holds('nothing of it ran', await b.eval('window.pwned === undefined'));

  // Stopping.
  await b.eval(kFake(['begun', null]));
  await b.eval('fresh()');
  await b.type('x');
  await b.press('Enter', 0, '\r');
  await until('the beginning of an answer', () => b.eval(`document.querySelector('article.assistant')?.textContent.includes('begun')`));
  holds('Stop stands in place of Send', await b.eval(`[document.querySelector('#stop').hidden, document.querySelector('#send').hidden]`), [false, true]);
  await b.press('Escape');
  await until('the end', () => b.eval(`document.querySelector('article.assistant .foot').textContent.includes('stopped')`));
  holds('the request was ended', await b.eval('window.left'));
  holds('what had come is kept', await b.eval('messages[1].content'), 'begun');

  // Pictures.
  await b.eval(kFake(['seen']));
  await b.eval('fresh()');
  const drop = `(() => { const data = new DataTransfer(); data.items.add(new File([Uint8Array.from(atob('${kPng}'), c => c.charCodeAt(0))], 'dot.png', {type: 'image/png'}));
                        document.querySelector('#form').dispatchEvent(new DragEvent('drop', {bubbles: true, cancelable: true, dataTransfer: data})); })()`;
  await b.eval(drop);
  await until('a refusal', () => b.eval(`document.querySelector('#note').textContent.includes('does not take pictures')`));
  holds('no picture is kept for a model that does not see', await b.eval('pictures.length'), 0);
  await b.eval(`models.set('tiny:latest', {capabilities: ['completion', 'vision']}) && modelChanged()`);
  await b.eval(drop);
  await until('the picture', () => b.eval(`document.querySelector('#pictures img')?.naturalWidth === 1`));
  await b.type('what is it');
  await b.press('Enter', 0, '\r');
  await until('an answer to the picture', () => b.eval(`/tokens/.test(document.querySelector('article.assistant .foot')?.textContent)`));
  holds('the picture is sent', await b.eval('window.asked.messages'), [{role: 'user', content: 'what is it', images: [kPng]}]);

  // Themes.
  const background = () => b.eval('getComputedStyle(document.body).backgroundColor');
  await b.tell('Emulation.setEmulatedMedia', {features: [{name: 'prefers-color-scheme', value: 'light'}]});
  const light = await background();
  await b.tell('Emulation.setEmulatedMedia', {features: [{name: 'prefers-color-scheme', value: 'dark'}]});
  const dark = await background();
  holds('dark where the system is dark', light !== dark);
  await b.eval(`(document.querySelector('#theme').click(), document.querySelector('#theme').click())`);
  holds('light where it is chosen', await background(), light);
  await b.tell('Page.reload');
  await until('the page again', () => b.eval(`document.querySelector('#theme')?.textContent === 'Theme: light' && document.querySelector('#model').value === 'tiny:latest'`));

  // Errors of the server.
  await b.eval(`document.querySelector('#model').append(Object.assign(document.createElement('option'), {value: 'none', textContent: 'none', selected: true}))`);
  await b.eval(`document.querySelector('#text').focus()`);
  await b.type('x');
  await b.press('Enter', 0, '\r');
  await until('the error', () => b.eval(`document.querySelector('[role=alert]')?.textContent.includes('not found')`));
  holds('every control has a name', await b.eval(`[...document.querySelectorAll('button, select, textarea, input:not([hidden])')].every(e => e.textContent.trim() || e.labels?.length || e.getAttribute('aria-label'))`));

  const wrong = b.events.filter(e => e.method === 'Runtime.exceptionThrown' || (e.method === 'Log.entryAdded' && e.params.entry.level === 'error' && e.params.entry.source !== 'network'));
  holds('no error and no breach of the policy', wrong.map(e => e.params.entry?.text || e.params.exceptionDetails.text), []);
}

const kPng = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
const end = code => {
  for (const child of children) child.kill();
  fs.rmSync(home, {recursive: true, force: true, maxRetries: 5});
  process.exit(code);
};
setTimeout(() => { console.log('FAILED in time'); end(1); }, 100000);
main().then(() => end(failed), error => { console.log('FAILED ' + error.stack); end(1); });
