// JSON as a grammar: any object, or the documents of a JSON Schema.
#pragma once
#include "base/json.h"
#include "text/grammar.h"

namespace mynah::text {

// Any JSON object.
Grammar::Expression json_object(Grammar& grammar);

// Documents that the schema accepts: objects with the properties in the schema's order and no others, unless it names none.
// Known: type, properties, required, additionalProperties, items, prefixItems, minItems, maxItems, enum, const, anyOf, oneOf, allOf of
// one, $ref within the document, minLength, maxLength, pattern, format (date, time, date-time, uuid), minimum and maximum of integers.
// Annotations are passed over; throws usage for other keywords that restrict.
Grammar::Expression json_schema(Grammar& grammar, const Json& schema);

}  // namespace mynah::text
