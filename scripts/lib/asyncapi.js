// node asyncapi.js FILE: says whether AsyncAPI's own parser accepts the document; ends with 1 if not.
'use strict';

const fs = require('node:fs');
const { Parser, DiagnosticSeverity } = require('@asyncapi/parser');

async function main(file) {
  const { document, diagnostics } = await new Parser().parse(fs.readFileSync(file, 'utf8'), { source: file });
  const faults = diagnostics.filter((found) => found.severity <= DiagnosticSeverity.Warning);
  for (const { severity, path, message } of faults) {
    console.error(`${file}: ${DiagnosticSeverity[severity]}: ${path.join('.')}: ${message}`);
  }
  if (!document || faults.some((found) => found.severity === DiagnosticSeverity.Error)) process.exit(1);
  console.log(`${file}: AsyncAPI ${document.version()}, ${document.messages().length} messages, accepted by the parser`);
}

main(process.argv[2]);
