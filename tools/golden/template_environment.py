"""The Jinja2 environment in which transformers renders chat templates (utils/chat_template_utils.py), with a fixed clock."""
import datetime
import json

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

NOW = datetime.datetime(2024, 7, 26, 14, 5, 9)


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment():
    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda format: NOW.strftime(format)
    return env


ENVIRONMENT = environment()
DEFAULTS = {"tools": None, "documents": None, "add_generation_prompt": False}


def render(template, variables):
    """{"output": text} or {"error": reason}."""
    try:
        return {"output": ENVIRONMENT.from_string(template).render(**{**DEFAULTS, **variables})}
    except RecursionError:
        return {"error": "recursion"}
    except Exception as e:  # noqa: BLE001: any failure of the template is an expected result
        return {"error": f"{type(e).__name__}: {e}"}
