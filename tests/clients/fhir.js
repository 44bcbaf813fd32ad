// What fhir.js, a validator from npm that holds the definitions of R4, finds wrong with a resource.
//
//     node fhir.js NODE_MODULES FILE
//
// Prints {"valid": …, "messages": [{"severity", "location", "message"} …]}.
const fs = require("fs");
const path = require("path");
const [, , modules, file] = process.argv;
const { Fhir } = require(path.join(modules, "fhir"));

const resource = JSON.parse(fs.readFileSync(file, "utf8"));
const { valid, messages } = new Fhir().validate(resource, { errorOnUnexpected: true });
console.log(JSON.stringify({
    valid,
    messages: messages.map(({ severity, location, message }) => ({ severity, location, message })),
}));
