// Compiles Flux queries with InfluxData's own compiler (libflux as WebAssembly). It checks types and names; it runs nothing.
//
//   node scripts/check-flux.mjs DIR < queries.json
//
// DIR holds node_modules with @influxdata/flux-lsp-browser; scripts/get-flux-compiler.sh puts it there. The input is a JSON
// object of query texts by name. Says on standard output which do not compile, as a JSON object; {} when all do.
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const dir = path.resolve(process.argv[2], 'node_modules/@influxdata/flux-lsp-browser');
const source = fs.readFileSync(path.join(dir, 'flux-lsp-browser_bg.js'), 'utf8');

// The package imports its WebAssembly as a bundler would have it. Here the import becomes a variable that is set first, and
// what the module does with it at once moves behind that.
const head = /^import \* as wasm from .*;\n/;
if (!head.test(source)) throw new Error('the package does not look as expected');
const begun = [];
const body = source.replace(head, 'let wasm;\n').replace(/^cached\w+ = new .*;$/gm, (line) => {
    begun.push(line);
    return '';
});
const made = path.join(path.resolve(process.argv[2]), 'flux-compiler.mjs');
fs.writeFileSync(`${made}.${process.pid}`, `${body}\nexport function __begin(exports) {\n wasm = exports;\n ${begun.join('\n ')}\n}\n`);
fs.renameSync(`${made}.${process.pid}`, made);
const flux = await import(pathToFileURL(made));

const bytes = fs.readFileSync(path.join(dir, 'flux-lsp-browser_bg.wasm'));
const compiled = new WebAssembly.Module(bytes);
const imports = {};
for (const { module, name } of WebAssembly.Module.imports(compiled)) {
    (imports[module] ??= {})[name] = flux[name];
}
const instance = new WebAssembly.Instance(compiled, imports);
flux.__begin(instance.exports);
instance.exports.__wbindgen_start?.();

const bad = {};
for (const [name, query] of Object.entries(JSON.parse(fs.readFileSync(0, 'utf8')))) {
    let verdict;
    try {
        verdict = flux.is_valid_flux(query) && new flux.Flux(query).is_valid() ? null : 'it does not compile';
    } catch (error) {
        verdict = String(error);
    }
    if (verdict !== null) bad[name] = verdict;
}
console.log(JSON.stringify(bad));
