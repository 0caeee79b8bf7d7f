// Routes that belong to no dialect: the page, health, metrics.
#include "serve/service.h"

namespace mynah::serve {
namespace {

constexpr const char* kPage = R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>mynah</title><style>
body{font:16px/1.5 sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}textarea{width:100%;box-sizing:border-box}
#log{white-space:pre-wrap;border:1px solid #999;padding:.5rem;min-height:12rem}.user{color:#06c}</style></head>
<body><h1>mynah</h1><label>Model <select id="model"></select></label>
<div id="log" role="log" aria-live="polite"></div>
<form id="form"><label for="text">Message</label><textarea id="text" rows="3"></textarea><button>Send</button></form>
<script>
const $=id=>document.getElementById(id),messages=[];
fetch('/api/tags').then(r=>r.json()).then(j=>{for(const m of j.models){const o=document.createElement('option');o.textContent=m.name;$('model').append(o)}});
function line(who,text){const d=document.createElement('div');d.className=who;d.textContent=text;$('log').append(d);return d}
$('form').onsubmit=async e=>{e.preventDefault();const text=$('text').value;if(!text)return;$('text').value='';line('user',text);
messages.push({role:'user',content:text});const out=line('assistant','');let whole='',rest='';
const r=await fetch('/api/chat',{method:'POST',headers:{'Content-Type':'application/json'},body:JSON.stringify({model:$('model').value,messages})});
const reader=r.body.getReader(),decoder=new TextDecoder();
for(;;){const{done,value}=await reader.read();if(done)break;rest+=decoder.decode(value,{stream:true});
const lines=rest.split('\n');rest=lines.pop();for(const l of lines){const j=JSON.parse(l);whole+=j.error?'['+j.error+']':j.message.content;out.textContent=whole}}
messages.push({role:'assistant',content:whole})};
</script></body></html>
)";

void root(Call& call) {
  if (call.request->header("accept").find("text/html") == std::string_view::npos)
    return call.reply->send({200, "text/plain; charset=utf-8", "Ollama is running", {}});
  call.reply->send({200,
                    "text/html; charset=utf-8",
                    kPage,
                    {{"Content-Security-Policy",
                      "default-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; frame-ancestors "
                      "'none'; base-uri 'none'"},
                     {"X-Content-Type-Options", "nosniff"},
                     {"Referrer-Policy", "no-referrer"},
                     {"X-Frame-Options", "DENY"}}});
}

void health(Call& call) { call.send_json({{"status", "ok"}}); }

void openapi(Call& call) {
  static const Json document = openapi_json(all_routes(), call.service.version);
  call.send_json(document);
}

void metrics(Call& call) {
  call.reply->send(
      {200,
       "text/plain; version=0.0.4; charset=utf-8",
       call.service.metrics.text(call.service.models, call.service.connections ? call.service.connections() : 0),
       {}});
}

}  // namespace

std::span<const Route> general_routes() {
  static const Route routes[] = {{"GET", "/", root},
                                 {"GET", "/health", health},
                                 {"GET", "/ready", health},
                                 {"GET", "/metrics", metrics},
                                 {"GET", "/openapi.json", openapi}};
  return routes;
}

}  // namespace mynah::serve
