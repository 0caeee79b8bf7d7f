"""Writes tests/golden/templates/{families,expressions}.json: templates with the text that Jinja2 gives for them.

  python tools/golden/templates.py [--gguf smollm2.gguf]

families.json: chat templates in the manner of the known model families (written for this test), each with several
conversations. With --gguf the template of that file is added. expressions.json: one-line snippets.
Made with jinja2 3.1.6 and Python 3.11; strftime_now() stands at 2024-07-26 14:05:09.
"""
import argparse
import json
import pathlib

import jinja2

from template_environment import render

CHATML = """{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nYou are helpful.<|im_end|>\\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""

LLAMA2 = """{% if messages[0]['role'] == 'system' %}
  {% set loop_messages = messages[1:] %}
  {% set system_message = messages[0]['content'] %}
{% else %}
  {% set loop_messages = messages %}
  {% set system_message = false %}
{% endif %}
{% for message in loop_messages %}
  {% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
    {{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
  {% endif %}
  {% if loop.index0 == 0 and system_message != false %}
    {% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}
  {% else %}
    {% set content = message['content'] %}
  {% endif %}
  {% if message['role'] == 'user' %}
    {{- bos_token + '[INST] ' + content.strip() + ' [/INST]' }}
  {% elif message['role'] == 'system' %}
    {{- '<<SYS>>\\n' + content.strip() + '\\n<</SYS>>\\n\\n' }}
  {% elif message['role'] == 'assistant' %}
    {{- ' '  + content.strip() + ' ' + eos_token }}
  {% endif %}
{% endfor %}"""

LLAMA3 = """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not tools_in_user_message is defined %}
    {%- set tools_in_user_message = true %}
{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}

{#- The system message goes first, so it is taken out here. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}

{#- System part #}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Cutting Knowledge Date: December 2023\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{%- if tools is not none and not tools_in_user_message %}
    {{- "You have access to these functions.\\n\\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message }}
{{- "<|eot_id|>" }}

{%- if tools_in_user_message and not tools is none %}
    {%- if messages | length != 0 %}
        {%- set first_user_message = messages[0]['content']|trim %}
        {%- set messages = messages[1:] %}
    {%- else %}
        {{- raise_exception("Cannot put tools in the first user message when there's no first user message!") }}
{%- endif %}
    {{- '<|start_header_id|>user<|end_header_id|>\\n\\n' -}}
    {{- "Answer with a JSON function call.\\n\\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
    {{- first_user_message + "<|eot_id|>"}}
{%- endif %}

{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("This model only supports single tool-calls at once!") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
        {{- '{"name": "' + tool_call.name + '", ' }}
        {{- '"parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}" }}
        {{- "<|eot_id|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

MISTRAL = """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}

{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or message.role == "tool_results" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("After the optional system message, conversation roles must alternate user/assistant/user/assistant/...") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}

{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + val|tojson }}
                    {%- endif %}
                    {%- if not loop.last %}
                        {{- ", " }}
                    {%- endif %}
                {%- endfor %}
                {{- "}}" }}
                {%- if not loop.last %}
                    {{- ", " }}
                {%- else %}
                    {{- "]" }}
                {%- endif %}
            {%- endfor %}
            {{- "[/AVAILABLE_TOOLS]" }}
            {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[TOOL_CALLS] [" }}
        {%- for tool_call in message.tool_calls %}
            {%- set out = tool_call.function|tojson %}
            {{- out[:-1] }}
            {%- if not tool_call.id is defined or tool_call.id|length != 9 %}
                {{- raise_exception("Tool call IDs should be alphanumeric strings with length 9!") }}
            {%- endif %}
            {{- ', "id": "' + tool_call.id + '"}' }}
            {%- if not loop.last %}
                {{- ", " }}
            {%- else %}
                {{- "]" + eos_token }}
            {%- endif %}
        {%- endfor %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- elif message["role"] == "tool_results" or message["role"] == "tool" %}
        {%- if message.content is defined and message.content.content is defined %}
            {%- set content = message.content.content %}
        {%- else %}
            {%- set content = message.content %}
        {%- endif %}
        {{- '[TOOL_RESULTS] {"content": ' + content|string + ", " }}
        {{- '"call_id": "' + message.tool_call_id|default("000000000") + '"}[/TOOL_RESULTS]' }}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported, with the exception of an initial optional system message!") }}
    {%- endif %}
{%- endfor %}
"""

GEMMA = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first_user_prefix = messages[0]['content'] + '\\n\\n' -%}
    {%- else -%}
        {%- set first_user_prefix = messages[0]['content'][0]['text'] + '\\n\\n' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Conversation roles must alternate user/assistant/user/assistant/...") }}
    {%- endif -%}
    {%- if (message['role'] == 'assistant') -%}
        {%- set role = "model" -%}
    {%- else -%}
        {%- set role = message['role'] -%}
    {%- endif -%}
    {{ '<start_of_turn>' + role + '\\n' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}
                {{ '<start_of_image>' }}
            {%- elif item['type'] == 'text' -%}
                {{ item['text'] | trim }}
            {%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("Invalid content type") }}
    {%- endif -%}
    {{ '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<start_of_turn>model\\n'}}
{%- endif -%}
"""

QWEN = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "# Tools\\n\\nFunction signatures are within <tools></tools> XML tags:\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools>\\n\\nReturn a json object within <tool_call></tool_call>:\\n<tool_call>\\n{\\"name\\": <function-name>, \\"arguments\\": <args-json-object>}\\n</tool_call><|im_end|>\\n" }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index and (loop.last or (not loop.last and reasoning_content)) %}
            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}
                    {{- '\\n' }}
                {%- endif %}
                {%- if tool_call.function %}
                    {%- set tool_call = tool_call.function %}
                {%- endif %}
                {{- '<tool_call>\\n{"name": "' }}
                {{- tool_call.name }}
                {{- '", "arguments": ' }}
                {%- if tool_call.arguments is string %}
                    {{- tool_call.arguments }}
                {%- else %}
                    {{- tool_call.arguments | tojson }}
                {%- endif %}
                {{- '}\\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' }}
        {{- content }}
        {{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}"""

DEEPSEEK = """{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% set ns = namespace(is_first=false, is_tool=false, is_output_first=true, system_prompt='') %}{%- for message in messages %}{%- if message['role'] == 'system' %}{% set ns.system_prompt = ns.system_prompt + message['content'] %}{%- endif %}{%- endfor %}{{bos_token}}{{ns.system_prompt}}{%- for message in messages %}{%- if message['role'] == 'user' %}{%- set ns.is_tool = false -%}{{'<|User|>' + message['content']}}{%- endif %}{%- if message['role'] == 'assistant' and message['tool_calls'] %}{%- set ns.is_tool = false -%}{%- for tool in message['tool_calls']%}{%- if not ns.is_first %}{{'<|Assistant|><|calls|><|call|>' + tool['type'] + '<|sep|>' + tool['function']['name'] + '\\n```json\\n' + tool['function']['arguments']|tojson + '\\n```<|end|>'}}{%- set ns.is_first = true -%}{%- else %}{{'\\n<|call|>' + tool['type'] + '<|sep|>' + tool['function']['name']}}{%- endif %}{%- endfor %}{{'<|calls_end|>'}}{%- endif %}{%- if message['role'] == 'assistant' and not message['tool_calls'] %}{%- if ns.is_tool %}{{'<|outputs_end|>' + message['content'] + eos_token}}{%- set ns.is_tool = false -%}{%- else %}{% set content = message['content'] %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}{{'<|Assistant|>' + content + eos_token}}{%- endif %}{%- endif %}{%- if message['role'] == 'tool' %}{%- set ns.is_tool = true -%}{%- if ns.is_output_first %}{{'<|outputs|><|output|>' + message['content'] + '<|output_end|>'}}{%- set ns.is_output_first = false %}{%- else %}{{'\\n<|output|>' + message['content'] + '<|output_end|>'}}{%- endif %}{%- endif %}{%- endfor -%}{% if ns.is_tool %}{{'<|outputs_end|>'}}{% endif %}{% if add_generation_prompt and not ns.is_tool %}{{'<|Assistant|>'}}{% endif %}"""

PHI = """{% for message in messages %}
{% if message['role'] == 'system' and message['content'] %}{{'<|system|>
' + message['content'] + '<|end|>
'}}{% elif message['role'] == 'user' %}{{'<|user|>
' + message['content'] + '<|end|>
'}}{% elif message['role'] == 'assistant' %}{{'<|assistant|>
'}}{% generation %}{{ message['content'] + '<|end|>
' }}{% endgeneration %}{% endif %}
{% endfor %}
{% if add_generation_prompt %}{{ '<|assistant|>
' }}{% else %}{{ eos_token }}{% endif %}"""

ZEPHYR = """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}"""

MACROS = """{%- macro json_to_python_type(json_spec) %}
{%- set basic = {"string": "str", "number": "float", "integer": "int", "boolean": "bool"} %}
{%- if basic[json_spec.type] is defined %}
    {{- basic[json_spec.type] }}
{%- elif json_spec.type == "array" %}
    {{- "list[" +  json_to_python_type(json_spec.items) + "]"}}
{%- elif json_spec.type == "object" %}
    {%- if json_spec.additionalProperties is defined %}
        {{- "dict[str, " + json_to_python_type(json_spec.additionalProperties) + ']'}}
    {%- else %}
        {{- "dict" }}
    {%- endif %}
{%- elif json_spec.type is iterable %}
    {{- "Union[" }}
    {%- for t in json_spec.type %}
      {{- json_to_python_type({"type": t}) }}
      {%- if not loop.last %}
        {{- "," }}
    {%- endif %}
    {%- endfor %}
    {{- "]" }}
{%- else %}
    {{- "Any" }}
{%- endif %}
{%- endmacro %}
{{- bos_token }}
{%- for tool in tools or [] %}
{%- if tool.function is defined %}{% set tool = tool.function %}{% endif %}
{{- tool.name + "(" }}
{%- for name, fields in tool.parameters.properties.items() %}
    {{- name + ": " + json_to_python_type(fields) }}
    {%- if not loop.last %}{{- ", " }}{%- endif %}
{%- endfor %}
{{- ") - " + tool.description + "\\n" }}
{%- endfor %}
{%- for message in messages if message.role != 'system' %}
{{- loop.index ~ "/" ~ loop.length ~ " " ~ message.role ~ ": " ~ (message.content or "-") ~ "\\n" }}
{%- endfor %}"""

FAMILIES = {
    "chatml": CHATML, "llama2": LLAMA2, "llama3": LLAMA3, "mistral": MISTRAL, "gemma": GEMMA, "qwen": QWEN,
    "deepseek": DEEPSEEK, "phi": PHI, "zephyr": ZEPHYR, "tool-macros": MACROS,
}

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather", "description": "Weather for a place, e.g. <Paris> & \"Lyon\"",
        "parameters": {"type": "object", "properties": {
            "place": {"type": "string", "description": "Caf\u00e9 'X'"},
            "days": {"type": ["integer", "string"]},
            "tags": {"type": "array", "items": {"type": "string"}}}, "required": ["place"]}}}
CALL = {"id": "abcdefgh1", "type": "function", "function": {"name": "get_weather", "arguments": {"place": "Paris", "days": 3, "x": 1.5}}}

CONVERSATIONS = [
    {"messages": [{"role": "user", "content": "Hello!"}], "add_generation_prompt": True},
    {"messages": [{"role": "system", "content": "  Be brief.\n"}, {"role": "user", "content": " Gr\u00fc\u00dfe \U0001F600 <b>&\"'\\ "},
                  {"role": "assistant", "content": "<think>\nhm\n</think>\n\nHi\tthere"}, {"role": "user", "content": "bye\n\n"}],
     "add_generation_prompt": True},
    {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
    {"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "twice"}]},
    {"messages": [{"role": "user", "content": "Weather?"}, {"role": "assistant", "content": "", "tool_calls": [CALL]},
                  {"role": "tool", "content": "18 C", "tool_call_id": "abcdefgh1"}, {"role": "assistant", "content": "18 degrees."}],
     "tools": [WEATHER], "add_generation_prompt": False},
    {"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Weather?"}], "tools": [WEATHER, WEATHER],
     "tools_in_user_message": False, "date_string": "1 Jan 2025", "add_generation_prompt": True, "enable_thinking": False},
    {"messages": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": " what? "}]}], "add_generation_prompt": True},
    {"messages": [{"role": "bogus", "content": "?"}]},
    {"messages": []},
]

VARIABLES = {
    "s": "Hello, World", "u": "\u00c9t\u00e9 na\u00efve \u4f60\u597d", "ws": " \t a  b\n c ", "n": 7, "neg": -7, "f": 2.5, "big": 10 ** 15,
    "t": True, "no": None, "e": "", "l": [3, 1, 2], "mixed": [1, "a", None, 2.0, True], "nested": [[1, 2], [3]],
    "d": {"b": 1, "a": [1, {"x": "y"}], "items": "key"}, "users": [
        {"name": "bob", "age": 30, "tag": "x"}, {"name": "Al", "age": 25, "tag": "y"}, {"name": "carl", "age": 30}],
}

EXPRESSIONS = r"""
1 + 2 * 3
(1 + 2) * 3
7 // 2
-7 // 2
7 % -3
-7 % 3
7.5 // 2
-7.5 % 2
2 ** 10
2 ** -1
2 ** 3 ** 2
-2 ** 2
7 / 2
6 / 3
1e3
1.0
0.1 + 0.2
1e16
1e15
123456789.123
1e-5
0.0001
1_000
0x1f
1 / 3
5 - 3 - 1
1 ~ 2 ~ 'x'
'a' ~ 1 + 2
'a' * 3
3 * 'ab'
[1] * 2
[1, 2] + [3]
(1,) + (2,)
(1,)
()
[]
{}
{'a': 1, "b": [1, 2.0, none, true]}
'it''s'
"it's"
['it\'s', "q\"q", 'both\'"']
['tab\t', 'nl\n', 'nul\x00', '\u00e9', '\u200b', '\x7f']
'\x41\u0042\103'
'a\
b'
'\d'
true and false
true or missing
0 or 'x'
'' and 1
not 0
not true == false
1 < 2 < 3
1 < 3 < 2
1 == 1.0
1 == true
'a' == 'b' or 1 != 2
'a' < 'b'
[1, 2] < [1, 3]
'ell' in s
'zz' not in s
3 in l
'a' in d
'y' in d
1 in mixed
missing in l
'x' in missing
'a' if n > 5 else 'b'
'a' if n > 50
('a' if false) is defined
'a' if false else 'b' if false else 'c'
s[0]
s[-1]
s[1:4]
s[::-1]
s[:5]
s[-5:]
s[::2]
u[1]
u[-2:]
u[::-1]
l[0]
l[-1]
l[10]
l[1:]
l[::-1]
l[5:]
nested[0][1]
nested.0.1
d.b
d['b']
d['items']
d.items()
d.missing
d.missing is defined
d['a'][1].x
d.a.1.x
d.keys()
d.values()
d.get('b')
d.get('zz')
d.get('zz', 5)
d.keys() | list
d.items() | list
d | items | list
d | length
d | list
d | string
missing
missing is defined
missing.x
missing.x is defined
missing + 1
missing ~ 'x'
missing | length
missing | default('dd')
e | default('dd')
e | default('dd', true)
no | default('dd')
no | d('dd', boolean=true)
missing == none
missing | list
missing | join
s.upper()
s.lower()
s.title()
"they're bill's".title()
"they're bill's (x) [y] a-b" | title
s.split()
s.split(', ')
s.split('o', 1)
s.rsplit('o', 1)
ws.split()
ws.split(none, 1)
ws.rsplit(none, 1)
ws.strip()
ws.lstrip()
ws.rstrip()
'xxaxx'.strip('x')
'abcba'.strip('ab')
s.replace('l', 'L')
s.replace('l', 'L', 1)
s.replace('', '-')
s.startswith('Hell')
s.startswith(('x', 'H'))
s.endswith('ld')
s.endswith('ld', 3)
s.find('o')
s.find('o', 5)
s.rfind('o')
s.find('zz')
u.find('n')
s.index('W')
s.index('zz')
s.count('l')
'-'.join(['a', 'b'])
'-'.join([1])
s.capitalize()
u.upper()
u.lower()
u.swapcase()
'stra\u00dfe'.upper()
'12'.isdigit()
'1a'.isdigit()
'ab'.isalpha()
' '.isspace()
'AB'.isupper()
'ab1'.isalnum()
''.isdigit()
'a\nb\r\nc'.splitlines()
'a\nb\n'.splitlines(true)
'abc'.center(8, '*')
'abc'.center(8) ~ '|'
'abc'.ljust(5, '.')
'abc'.rjust(5)
'-42'.zfill(6)
'a=b=c'.partition('=')
'a=b=c'.rpartition('=')
'abc'.partition('=')
'prefix-x'.removeprefix('prefix-')
'x.py'.removesuffix('.py')
'{} {}'.format(1, 'a')
'{1} {0} {k}'.format(1, 'a', k=2)
'{:>5}|{:<5}|{:^5}|{:05d}|{:.2f}|{:,}'.format('a', 'b', 'c', 42, 3.14159, 1234567)
'{:x} {:#x} {:b} {:e} {:g} {:%}'.format(255, 255, 5, 12345.678, 0.00001, 0.25)
'{0[b]} {1.name}'.format(d, users[0])
'{!r} {{}}'.format('a')
'%s %d %5.2f|%-5s|%05d|%x|%%' % ('a', 3, 3.14159, 'b', 42, 255)
'%(a)s-%(b)r' % {'a': 1, 'b': 'x'}
'%s' % l
'%s' % (l,)
'%d' % 3.9
'%s' | format(5)
'%(k)s' | format(k=1)
n | abs
neg | abs
f | int
'42' | int
'42.9' | int
'abc' | int
'abc' | int(5)
'ff' | int(base=16)
'0x1A' | int(base=16)
' 12 ' | int
none | int
true | int
'1.5' | float
'abc' | float
'abc' | float(1.5)
3 | float
'1e3' | float
42.55 | round
42.55 | round(1)
2.5 | round
3.5 | round
-2.5 | round
42.55 | round(1, 'floor')
42.51 | round(1, 'ceil')
42 | round
1234 | round(-2)
0.5 | round | int
s | length
u | length
l | count
s | upper
s | lower
s | capitalize
'hello wORLD' | title
s | trim
'xxaxx' | trim('x')
s | replace('l', 'L')
s | replace('l', 'L', 1)
123 | replace(2, 9)
l | first
l | last
[] | first
s | first
l | sort
l | sort(reverse=true)
['b', 'A', 'c'] | sort
['b', 'A', 'c'] | sort(case_sensitive=true)
users | sort(attribute='age') | map(attribute='name') | list
users | sort(attribute='age,name') | map(attribute='name') | list
mixed | sort
l | sum
users | sum(attribute='age')
[[1], [2]] | sum(start=[])
l | min
l | max
['b', 'A'] | min
users | max(attribute='age')
[] | max
l | join(', ')
l | join
users | join('|', attribute='name')
l | reverse | list
s | reverse
l | unique | list
['a', 'A', 'b'] | unique | list
l | map('string') | list
l | map('string') | join
users | map(attribute='tag') | list
users | map(attribute='tag', default='none') | list
['a', 'b'] | map('upper') | list
['a', 'b'] | map('replace', 'a', 'z') | list
l | select('odd') | list
l | reject('odd') | list
l | select('>', 1) | list
l | select | list
[0, 1, '', 'a'] | reject | list
users | selectattr('age', 'equalto', 30) | map(attribute='name') | list
users | selectattr('tag', 'defined') | list | length
users | rejectattr('tag') | map(attribute='name') | list
users | selectattr('name', 'in', ['bob']) | list
users | groupby('age') | list
users | groupby('age') | map(attribute='grouper') | list
users | groupby('tag', default='zz') | map(attribute='list') | map('length') | list
d | dictsort
{'b': 1, 'A': 2} | dictsort
{'b': 1, 'A': 2} | dictsort(true)
{'b': 1, 'a': 2} | dictsort(by='value')
{'b': 1, 'a': 2} | dictsort(reverse=true)
[1, 2, 3, 4, 5] | batch(2) | list
[1, 2, 3, 4, 5] | batch(2, 'x') | list
[1, 2, 3, 4, 5] | slice(2) | list
[1, 2, 3, 4, 5] | slice(3, 'x') | list
'a b  c-d_e' | wordcount
'a\nb\n\nc' | indent
'a\nb\n\nc' | indent(2, true)
'a\nb\n\nc' | indent(2, blank=true)
'a\nb' | indent('> ')
'foo bar baz qux' | truncate(9)
'foo bar baz qux' | truncate(9, true)
'foo bar baz qux' | truncate(11, false, '...', 0)
'abc' | center(9)
'<a href="x">&\'</a>' | e
'a' | safe
s | string
5 | string
l | list
s | list
d | tojson
d | tojson(indent=2)
[] | tojson(indent=2)
{'a': {}, 'b': []} | tojson(indent=1)
u | tojson
u | tojson(ensure_ascii=true)
'\U0001F600"\\\n\t\b\x01\x7f/<>&\'' | tojson
'\U0001F600' | tojson(ensure_ascii=true)
[1, 1.0, 1e20, true, none, (1, 2)] | tojson
{'b': 1, 'a': 2} | tojson(sort_keys=true)
{'b': 1} | tojson(separators=(',', ':'))
{1: 2, none: 3, true: 4, 1.5: 5} | tojson
missing | tojson
d.keys() | tojson
'nan' | float
'inf' | float | tojson
l is iterable
s is iterable
n is iterable
s is string
n is number
t is number
n is integer
t is integer
f is float
d is mapping
l is mapping
l is sequence
d is sequence
s is sequence
n is sequence
d.keys() is sequence
l is sequence and l is not string
no is none
n is none
missing is none
t is boolean
t is true
1 is true
no is false
n is odd
n is even
n is divisibleby 7
n is divisibleby(2)
n is eq 7
n is equalto(7)
n is ne 7
n is lt 8
n is gt 8
n is ge 7
n is in [7]
'a' is in 'abc'
'ABC' is upper
'abc' is lower
n is sameas n
no is sameas none
range is callable
n is callable
missing is callable
'upper' is filter
'nope' is filter
'odd' is test
n is not odd
not n is odd
range(5) | list
range(2, 10, 3) | list
range(5, 0, -2) | list
range(3)
range(10)[2]
range(10)[2:5] | list
range(1000000)
dict(a=1, b=2)
dict([('a', 1)])
dict({'x': 1}, y=2)
namespace(a=1).a
cycler('a', 'b').next()
l.append(4)
d.update({'z': 1})
d.pop('b')
s.__class__
s.__class__.__mro__
''['__class__'] is defined
d._x is defined
l | nosuchfilter
l is nosuchtest
nosuchfunction()
s()
1 + 'a'
'a' + 1
[1] + 'a'
none + 1
1 / 0
1 // 0
1 % 0
-'a'
1 < 'a'
none < 1
[] < {}
'a' in 5
1 in 'abc'
l['a']
l[1.0]
n[0]
{[]: 1}
l | join(1)
5 | upper
none | upper
none | length
'a' 'b'
1 if
(1
[1, 2
{'a' 1}
1 +
| upper
'abc
a b
1.2.3
strftime_now('%Y-%m-%d %H:%M:%S %j %A %B')
strftime_now('%d %b %Y')
raise_exception('own message')
l | attr('append')
users[0] | attr('name')
f | string ~ n
l.index(1)
l.index(9)
l.count(1)
(1, 2, 1).count(1)
d == {'b': 1, 'a': [1, {'x': 'y'}], 'items': 'key'}
[1, 2] == (1, 2)
[1, [2]] == [1.0, [2]]
users | length > 2
'a,b;c' | replace(',', ';') | trim | upper
l[n]
s[0:n]
s[n:0:-1]
s[100:]
s[:-100]
l[::0]
l['x':]
(l | first) + (l | last)
l | map('nosuch') | list
-n | abs
- n | abs
+n
- - n
2 * -3
n is odd and n > 3
n is odd or missing.x
'%c%c' % (65, 'B')
'%+d % d' % (3, 4)
'%o' % 8
'%e' % 12345.678
'%g' % 0.0001
'%s %s' % 1
'%d' % 'a'
'%' % ()
'{} {}'.format(1)
'{0} {}'.format(1, 2)
'{:d}'.format('a')
'{:10.3}|'.format('abcdef')
'{'.format()
'a'.nosuch()
"a" is string == true
1 is number + 1
[1, 2, 3][1:][0]
{'a': 1}['a']
{'a': 1}.a
{'a': {'b': 2}}.a.b
(1, 2)[0]
'abc'[1].upper()
'abc'.upper()[0]
[l, l] | map('first') | list
[l, l] | map('sum') | sum
[l, l] | sum(start=[]) | length
(1,2) | tojson
3.7 | int
-3.7 | int
1e300 * 1e10
-0.0
0.0 == -0.0
'a' < 'B'
'a'.islower()
'A b'.istitle()
u.title()
u | capitalize
'\u0131'.upper()
'abc' | list | join('-')
'a' in ['a'] in [true]
'%s' % none
'%s' % missing
'%r' % 'a'
[missing]
[missing] | tojson
none ~ true ~ 1.0
""".strip("\n").split("\n")

STATEMENTS = [
    "{% for x in l %}{{ x }}{% if not loop.last %}, {% endif %}{% endfor %}",
    "{% for x in [] %}x{% else %}empty{% endfor %}",
    "{% for x in l if x > 1 %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }} {% endfor %}",
    "{% for x in l if x > 9 %}x{% else %}none left{% endfor %}",
    "{% for a, b in [(1, 2), [3, 4]] %}{{ a }}-{{ b }} {% endfor %}",
    "{% for a, b in [(1, 2, 3)] %}{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for k in d %}{{ k }};{% endfor %}",
    "{% for c in 'ab\u00e9' %}[{{ c }}]{% endfor %}",
    "{% for x in 5 %}{% endfor %}",
    "{% for x in none %}{% endfor %}",
    "{% for x in missing %}x{% else %}e{% endfor %}",
    "{% for x in l %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {% endfor %}",
    "{% for x in l %}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "{% for x in l %}{{ loop.previtem is defined }}{% endfor %}",
    "{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in l %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% else %}no{% endfor %}",
    "{% for x in l %}{% for y in l %}{% if y == 2 %}{% break %}{% endif %}{{ x }}{{ y }} {% endfor %}{{ loop.index }}|{% endfor %}",
    "{% for x in l %}{% break %}{% else %}after a break{% endfor %}",
    "{% for x in l %}{% continue %}{% else %}after continues{% endfor %}",
    "{% for x in l %}{% if x == 3 %}{% continue %}{% endif %}{{ x }}{% else %}no{% endfor %}",
    "{% break %}",
    "{% filter length %}abc{% endfilter %}",
    "{{ range(3, 1, 1) }} {{ range(10)[1:8:3] }}",
    "{{ n[1:2] }}",
    "{% set x = 1 %}{% for y in l %}{% set x = x + y %}{{ x }} {% endfor %}{{ x }}",
    "{% set ns = namespace(x=0) %}{% for y in l %}{% set ns.x = ns.x + y %}{% endfor %}{{ ns.x }} {{ ns }}",
    "{% set q = 1 %}{% set q.x = 2 %}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}",
    "{% set a, b = 1 %}",
    "{% set x %}  block {{ n }} {% endset %}[{{ x }}]",
    "{% set x | upper | trim %} block {{ n }} {% endset %}[{{ x }}]",
    "{% if n > 5 %}a{% elif n > 3 %}b{% else %}c{% endif %}",
    "{% if n > 50 %}a{% elif n > 3 %}b{% else %}c{% endif %}",
    "{% if n > 50 %}a{% elif n > 30 %}b{% else %}c{% endif %}",
    "{% if true %}{% set z = 3 %}{% endif %}{{ z }}",
    "{% macro m(a, b=2, *c) %}{% endmacro %}",
    "{% macro m(a, b=2) %}[{{ a }},{{ b }}]{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(b=5, a=4) }}{{ m() }}",
    "{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}",
    "{% macro m(a) %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}",
    "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{% endmacro %}{{ m(zz=2) }}",
    "{% macro f(n) %}{% if n > 0 %}{{ n }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}",
    "{% macro m(x) %}<{{ caller() }}|{{ x }}>{% endmacro %}{% call m(1) %}body{{ n }}{% endcall %}",
    "{% macro m() %}{{ caller(1, 2) }}{% endmacro %}{% call(a, b=3) m() %}{{ a }}{{ b }}{% endcall %}",
    "{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}",
    "{% set x = 1 %}{% macro m() %}{{ x }}{% endmacro %}{% set x = 2 %}{{ m() }}",
    "{% for i in l %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}",
    "{% macro m() %}  x  {% endmacro %}[{{ m() | trim }}]",
    "{% filter upper %}abc {{ s }}{% endfilter %}",
    "{% filter replace('a', 'b') | upper %}aaa{% endfilter %}",
    "{% with a = 1, b = n %}{{ a }}{{ b }}{% endwith %}{{ a }}",
    "{% print n %}",
    "{% raw %}{{ x }}{% if %}{% endraw %}",
    "{%- raw -%}  {{ x }}  {%- endraw -%}  z",
    "a {# comment #} b",
    "a {#- comment -#} b",
    "{# {{ }} {% #}x",
    "{#",
    "{{",
    "{%",
    "{{ n",
    "{% if n %}",
    "{% endif %}",
    "{% for %}{% endfor %}",
    "{% nosuch %}",
    "{% if n %}{% endfor %}",
    "  {% if true %}\n  x\n  {% endif %}\n y",
    "  {%- if true %}\n  x\n  {%- endif %}\n y",
    "  {%+ if true %}\n  x\n  {%+ endif +%}\n y",
    "a\n  {% if true -%}\n\n  x\n  {%- endif -%}\n\n y",
    "x {% if true %} y {% endif %} z",
    "{{ n }}\n{{ n }}\n",
    "{{ n -}}\n  {{- n }}",
    "a\n\n",
    "a\r\nb\rc",
    "\n\n{% set x = 1 %}\n\n{{ x }}",
    "\t {% set x = 1 %} \n{{ x }}",
    "{{ '{{' }} {{ \"%}\" }} {{ '}}' }}",
    "{{ {'a': {'b': 1}}['a']['b'] }}",
    "{{ {'a':{}} }}",
    "{% set x = {'a': [1, 2, {'b': 3}]} %}{{ x.a[2].b }}",
    "{% generation %}{% set z = 1 %}x{{ z }}{% endgeneration %}{{ z }}",
    "{% for m in users %}{% generation %}{{ m.name }}{% endgeneration %};{% endfor %}",
    "{% set c = cycler('a', 'b', 'c') %}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.next() }}",
    "{% set j = joiner('; ') %}{% for x in l %}{{ j() }}{{ x }}{% endfor %}",
    "{% set x = l | map('string') %}{{ x | join }}{{ x | join }}",
    "{% set it = l | select('odd') %}{{ it | first }}{{ it | first }}{{ it | first is defined }}",
    "{% set x = (1, 2) %}{% set (a, b) = x %}{{ a + b }}",
    "{% for (a, b) in [(1, 2)] %}{{ a }}{{ b }}{% endfor %}",
    "{% for loop in l %}{% endfor %}",
    "{% set true = 1 %}",
    "{% for x in l %}{{ loop.nosuch }}{% endfor %}",
    "{% for x in l %}{{ loop.depth }}{% endfor %}",
    "{{ loop }}",
    "{% set ns = namespace(d={'a': 1}) %}{{ ns.d.a }}{{ ns.zz }}{{ ns['d'] }}",
    "{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns.b }}",
    "{% macro outer() %}{% macro inner() %}in{% endmacro %}{{ inner() }}{% endmacro %}{{ outer() }}",
    "{% set x = 5 if n > 3 else 6 %}{{ x }}",
    "{% if n is defined and n > 3 and not missing %}ok{% endif %}",
    "{% if l[0] == 3 and d.b == 1 %}ok{% endif %}",
    "{% for i in range(3) %}{% for j in range(i) %}{{ i }}{{ j }} {% endfor %}{% endfor %}",
    "{% for u in users|selectattr('tag', 'defined') %}{{ loop.length }}{{ u.name }}{% endfor %}",
    "{{ s | }}",
    "{{ s.  upper() }}",
    "{{ s [0] }}",
    "{{- s -}}",
    "{%set x=1%}{{x}}",
    "{% set x = 'a' 'b' %}{{ x }}",
    "{{ caller }}",
    "{{ f is float }} {{ 3 is float }}",
    "{% set tools = tools if tools else [] %}{{ tools | length }}",
    "{{ tools is none }} {{ documents is none }} {{ add_generation_prompt }}",
    "{% if messages is not defined %}nothing{% endif %}",
    "{% for x in l recursive_ %}{% endfor %}",
]


def families(gguf):
    templates = dict(FAMILIES)
    if gguf:
        import gguf as gguf_package
        field = gguf_package.GGUFReader(gguf).fields["tokenizer.chat_template"]
        templates["smollm2"] = bytes(field.parts[field.data[0]]).decode()
    cases = []
    for name, template in templates.items():
        for variables in CONVERSATIONS:
            variables = {"bos_token": "<s>", "eos_token": "</s>", **variables}
            cases.append({"template": name, "variables": variables, **render(template, variables)})
    return {"templates": templates, "cases": cases}


def expressions():
    cases = []
    for text in ["{{ " + e + " }}" for e in EXPRESSIONS] + STATEMENTS:
        cases.append({"template": text, **render(text, VARIABLES)})
    return {"variables": VARIABLES, "cases": cases}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--gguf", help="a model file whose chat template is added to the families")
    arguments = parser.parse_args()
    folder = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/templates"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in {"families": families(arguments.gguf), "expressions": expressions()}.items():
        content = {"made_by": f"tools/golden/templates.py, jinja2 {jinja2.__version__}", **content}
        (folder / f"{name}.json").write_text(json.dumps(content, ensure_ascii=False, indent=0) + "\n")


if __name__ == "__main__":
    main()
