// A consumer of audiences, written from docs/consume-an-audience.md: verifies, applies the delta or the snapshot, and answers
// with receipts. CSV and JSON lines need Node 18 alone; Parquet needs `npm ci` once.
//
//   node consume.mjs FOLDER/gold --key-file KEY --memory memory.json --receipts receipts.csv --at "$(date --iso-8601=seconds)"
//
// `--verify` only verifies folders, each a segment or one run. Exit code 0 with one JSON object, 1 where the audience must not
// be used: then nothing changed. 1 with a sentence where this machine lacks something, 2 where the command cannot be meant.
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { fileURLToPath } from "node:url";

const SUFFIX = { parquet: "parquet", csv: "csv", json_lines: "jsonl" };
const OPS = ["ENTER", "EXIT", "UPDATE"];
const NOT_DATA = ["_manifest.json", "_manifest.sha256", "_manifest.hmac", "_SUCCESS"];
const ATTEMPTS = 3;

class Refusal extends Error {
  constructor(kind, sentence) {
    super(sentence);
    this.kind = kind;
  }
}

// What stands in the way before an audience is looked at, with the exit code.
class Unready extends Error {
  constructor(code, sentence) {
    super(sentence);
    this.code = code;
  }
}

const STAGES = ["whitelist", "small", "full"];
const APPROVAL_KEYS = ["stage", "definition_hash", "basis", "approval_id", "approved_at", "until"];

const refuseIf = (isWrong, kind, sentence) => {
  if (isWrong) throw new Refusal(kind, sentence);
};
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
const isFile = (file) => fs.existsSync(file) && fs.statSync(file).isFile();
const sum = (counts) => Object.values(counts).reduce((total, count) => total + count, 0);

// ---------------------------------------------------------------------------------- documents

const schemas = path.join(path.dirname(fileURLToPath(import.meta.url)), "schemas");
function schemaOf(name) {
  const file = path.join(schemas, `${name}.json`);
  if (!isFile(file)) throw new Unready(1, `${file} is missing: put docs/reference/audience there, as the README says`);
  return JSON.parse(fs.readFileSync(file, "utf8"));
}

const TYPES = {
  object: (value) => value !== null && typeof value === "object" && !Array.isArray(value),
  array: Array.isArray,
  string: (value) => typeof value === "string",
  integer: Number.isInteger,
  null: (value) => value === null,
};

const isInstant = (text) => /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(text) && !Number.isNaN(Date.parse(text));
const isDay = (text) => /^\d{4}-\d\d-\d\d$/.test(text) && !Number.isNaN(Date.parse(text));

// The words of JSON Schema that the schemas of the contract use; a library does as well.
function fits(value, schema) {
  const types = [schema.type ?? []].flat();
  if (types.length && !types.some((type) => TYPES[type](value))) return false;
  if ("const" in schema && value !== schema.const) return false;
  if (schema.enum && !schema.enum.includes(value)) return false;
  if (typeof value === "number" && value < (schema.minimum ?? value)) return false;
  if (typeof value === "string") {
    if (schema.pattern && !new RegExp(schema.pattern, "u").test(value)) return false;
    if (schema.format === "date" && !isDay(value)) return false;
    if (schema.format === "date-time" && !isInstant(value)) return false;
  }
  if (Array.isArray(value)) return value.every((part) => fits(part, schema.items ?? {}));
  if (!TYPES.object(value)) return true;
  if ((schema.required ?? []).some((name) => !(name in value))) return false;
  return Object.entries(value).every(([name, part]) => fits(part, schema.properties?.[name] ?? schema.additionalProperties ?? {}));
}

function readObject(file, kind) {
  let document;
  try {
    document = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(fs.readFileSync(file)));
  } catch {
    throw new Refusal(kind, `${path.basename(file)} cannot be read`);
  }
  refuseIf(!TYPES.object(document), kind, `${path.basename(file)} is no JSON object`);
  return document;
}

function readPointer(root) {
  const file = path.join(root, "LATEST.json");
  refuseIf(!isFile(file), "pointer", "LATEST.json is missing");
  const pointer = readObject(file, "pointer");
  refuseIf(!fits(pointer, schemaOf("pointer")), "pointer", "LATEST.json does not name a run of this folder");
  const manifest = path.join(root, pointer.path, "_manifest.json");
  const isWhole = isFile(manifest) && isFile(path.join(root, pointer.path, "_SUCCESS"));
  return { ...pointer, isWhole, isSame: isWhole && sha256(fs.readFileSync(manifest)) === pointer.manifest_sha256 };
}

function readManifest(run, key) {
  for (const name of ["_manifest.json", "_manifest.sha256", "_SUCCESS"]) {
    refuseIf(!isFile(path.join(run, name)), "incomplete", `${name} is missing`);
  }
  const body = fs.readFileSync(path.join(run, "_manifest.json"));
  const stated = fs.readFileSync(path.join(run, "_manifest.sha256"), "utf8").split(/\s/)[0];
  refuseIf(sha256(body) !== stated, "manifest_hash", "the manifest does not have the hash that stands beside it");
  const manifest = readObject(path.join(run, "_manifest.json"), "manifest_shape");
  const version = manifest.contract_version;
  refuseIf(typeof version === "string" && version !== "audience/v1", "contract_version", `${version} is another contract`);
  refuseIf(!fits(manifest, schemaOf("manifest")), "manifest_shape", "the manifest is not of the documented shape");
  refuseIf(!isSignedBy(run, body, key), "signature", "the manifest is not signed by the platform");
  return manifest;
}

function isSignedBy(run, body, key) {
  const file = path.join(run, "_manifest.hmac");
  if (!isFile(file)) return false;
  const stated = Buffer.from(fs.readFileSync(file, "latin1").split(/\s/)[0]);
  const signature = Buffer.from(createHmac("sha256", key).update(body).digest("hex"));
  return stated.length === signature.length && timingSafeEqual(stated, signature);
}

// --------------------------------------------------------------------------------------- rows

function csvRows(text) {
  const rows = [];
  let row = [];
  for (let at = 0; at < text.length; ) {
    let cell = "";
    if (text[at] === '"') {
      for (at += 1; ; at += 1) {
        refuseIf(at >= text.length, "file_content", "a quoted cell does not end");
        if (text[at] !== '"') cell += text[at];
        else if (text[at + 1] === '"') cell += text[(at += 1)];
        else break;
      }
      at += 1;
    } else {
      const end = text.slice(at).search(/[,\r\n]|$/u) + at;
      cell = text.slice(at, end);
      at = end;
    }
    row.push(cell);
    if (text[at] === ",") {
      at += 1;
      if (at === text.length) row.push("");
      continue;
    }
    at += text.startsWith("\r\n", at) ? 2 : 1;
    rows.push(row);
    row = [];
  }
  if (row.length) rows.push(row);
  return rows;
}

// A line of JSON ends with a line feed and nothing else. A file without rows names no columns.
function jsonLines(text) {
  const rows = text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
  refuseIf(!rows.every(TYPES.object), "file_content", "a line is no JSON object");
  return { names: rows.length ? Object.keys(rows[0]) : null, rows };
}

function csvTable(text) {
  const [names, ...lines] = csvRows(text);
  refuseIf(names === undefined || lines.some((line) => line.length !== names.length), "file_content", "a line has more or fewer cells");
  return { names, rows: lines.map((line) => Object.fromEntries(names.map((name, column) => [name, line[column]]))) };
}

async function parquetTable(bytes) {
  const { parquetMetadataAsync, parquetReadObjects, parquetSchema } = await import("hyparquet");
  const { compressors } = await import("hyparquet-compressors");
  const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  const metadata = await parquetMetadataAsync(file);
  // hyparquet makes doubles of decimals, which rounds them: without their type it gives the bytes of the whole number.
  const scales = new Map();
  for (const element of metadata.schema.filter((one) => one.converted_type === "DECIMAL")) {
    scales.set(element.name, element.scale ?? 0);
    delete element.converted_type;
    delete element.logical_type;
  }
  const names = parquetSchema(metadata).children.map((child) => child.element.name);
  const rows = await parquetReadObjects({ file, metadata, compressors, utf8: false });
  for (const row of rows) for (const name of names) row[name] = plain(row[name], scales.get(name));
  return { names, rows };
}

// Decimals and days are text: a number with decimals would be rounded on its way.
function plain(value, scale) {
  if (value === null || value === undefined) return null;
  if (scale !== undefined) return decimalText(value, scale);
  if (value instanceof Date) return value.toISOString().slice(0, 10);
  return typeof value === "bigint" ? Number(value) : value;
}

function decimalText(value, scale) {
  const whole = value instanceof Uint8Array ? BigInt.asIntN(8 * value.length, BigInt(`0x${Buffer.from(value).toString("hex")}`)) : BigInt(value);
  const digits = (whole < 0n ? -whole : whole).toString().padStart(scale + 1, "0");
  const text = scale ? `${digits.slice(0, -scale)}.${digits.slice(-scale)}` : digits;
  return whole < 0n ? `-${text}` : text;
}

async function readPart(file, format) {
  const bytes = fs.readFileSync(file);
  try {
    if (format === "parquet") return await parquetTable(bytes);
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    return format === "csv" ? csvTable(text) : jsonLines(text);
  } catch (wrong) {
    if (wrong.code === "ERR_MODULE_NOT_FOUND") throw new Unready(1, "Parquet needs hyparquet and hyparquet-compressors: run `npm ci` beside consume.mjs");
    throw new Refusal("file_content", `${path.basename(file)} cannot be read as ${format}`);
  }
}

async function readFiles(run, manifest) {
  const names = manifest.schema.map((column) => column.name);
  const present = fs.readdirSync(run, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = present.map((entry) => path.relative(run, path.join(entry.parentPath ?? entry.path, entry.name)).split(path.sep).join("/"));
  const unlisted = paths.find((name) => !NOT_DATA.includes(name) && !manifest.files.some((file) => file.path === name));
  refuseIf(unlisted, "file_unlisted", `${unlisted} is not in the manifest`);
  const rows = { snapshot: [], delta: [] };
  for (const entry of manifest.files) {
    const file = path.join(run, entry.path);
    refuseIf(!isFile(file), "file_missing", `${entry.path} is missing`);
    const isSame = fs.statSync(file).size === entry.bytes && sha256(fs.readFileSync(file)) === entry.sha256;
    refuseIf(!isSame, "file_bytes", `${entry.path} is not what was delivered`);
    const mode = entry.path.split("/")[0];
    const table = await readPart(file, manifest.format);
    const wanted = mode === "delta" ? ["op", ...names] : names;
    const isAsStated = table.names === null || table.names.join("\n") === wanted.join("\n");
    refuseIf(!isAsStated || table.rows.length !== entry.rows, "file_content", `${entry.path} has other rows or columns than the manifest states`);
    for (const row of table.rows) rows[mode].push(row);
  }
  return rows;
}

// ------------------------------------------------------------------------------------ verdicts

const isFormula = (cell) => /^(?:[\t\r\n]|\s*[=+\-@＝＋－＠])/u.test(cell) && !/^[+-]?[0-9]+(\.[0-9]+)?$/.test(cell);
const textColumns = (manifest) => manifest.schema.filter((column) => column.type === "string" || column.type.startsWith("array"));

function checkContents(manifest, rows) {
  const keys = rows.snapshot.map((row) => row.recipient_key);
  const all = [...keys, ...rows.delta.map((row) => row.recipient_key)];
  refuseIf(!all.every((key) => /^[0-9a-f]{32}$/.test(key)), "recipients", "a row has no recipient_key of 32 hexadecimal digits");
  refuseIf(new Set(keys).size !== keys.length, "recipients", "a recipient stands there twice");
  const { counts } = manifest;
  const arms = sum(counts.variants);
  const outside = counts.not_in_rollout + counts.control_global + counts.holdout_local + counts.contaminated;
  const { previous, enter, exit, update } = counts.delta;
  const isSound =
    keys.length === counts.published &&
    counts.candidates === counts.eligible + sum(counts.suppressed_by_reason) &&
    counts.eligible === outside + arms &&
    counts.published === arms - sum(counts.dropped_by_contact) &&
    counts.published === previous + enter - exit &&
    counts.published === sum(counts.consent);
  refuseIf(!isSound, "counts", "the numbers of the manifest do not add up");
  if (manifest.mode.includes("delta")) checkDelta(rows, { ENTER: enter, EXIT: exit, UPDATE: update });
  if (manifest.spreadsheet && manifest.spreadsheet.rule !== "keep") {
    const cells = [...rows.snapshot, ...rows.delta].flatMap((row) => textColumns(manifest).map((column) => row[column.name]));
    refuseIf(cells.some(isFormula), "formula", "a cell would run in a spreadsheet");
  }
}

// An approval is for this definition, for this stage or a higher one, and not over, but where people were only taken out.
function checkApprovals(manifest) {
  if ((manifest.kind ?? "audience") !== "audience") return;
  const stage = STAGES.indexOf(manifest.stage ?? "full");
  const isShrunk = "RECALLED" in manifest.counts.dropped_by_contact;
  const isFit = (one) =>
    APPROVAL_KEYS.every((name) => name in one) &&
    one.definition_hash === manifest.definition_hash &&
    STAGES.indexOf(one.stage) >= stage &&
    (one.until === null || one.until >= manifest.as_of || isShrunk);
  refuseIf(!manifest.approvals.every(isFit), "approvals", "an approval is for another definition or a lower stage, or was over");
}

function checkDelta(rows, counts) {
  const current = new Set(rows.snapshot.map((row) => row.recipient_key));
  refuseIf(!rows.delta.every((row) => OPS.includes(row.op)), "delta", "an op is none of ENTER, EXIT, UPDATE");
  const isOnce = new Set(rows.delta.map((row) => row.recipient_key)).size === rows.delta.length;
  const isCounted = OPS.every((op) => rows.delta.filter((row) => row.op === op).length === counts[op]);
  const isRight = rows.delta.every((row) => current.has(row.recipient_key) === (row.op !== "EXIT"));
  refuseIf(!isOnce || !isCounted || !isRight, "delta", "the delta does not lead to the snapshot");
}

async function verifyRun(run, segment, key, at) {
  const manifest = readManifest(run, key);
  const place = { [path.basename(run)]: `run=${manifest.run_id}`, [path.basename(path.dirname(run))]: `as_of=${manifest.as_of}` };
  const isInPlace = Object.entries(place).every(([name, stated]) => name === stated) && manifest.segment === segment;
  refuseIf(!isInPlace, "place", "the manifest is of another segment, run or business date than its folder");
  const rows = await readFiles(run, manifest);
  checkContents(manifest, rows);
  checkApprovals(manifest);
  refuseIf((manifest.seq === 1) !== (manifest.previous_run_id === null), "sequence", "only the first run has no previous one");
  refuseIf(at.getTime() >= Date.parse(manifest.valid_until), "expired", `the audience expired at ${manifest.valid_until}`);
  return { manifest, rows };
}

const foldersIn = (folder, prefix) =>
  fs.readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory() && entry.name.startsWith(prefix)).map((entry) => path.join(folder, entry.name));

// Only where runs stand: what the platform is writing meanwhile lies beside them, and may go while it is looked at.
const placesOf = (root, name) => foldersIn(root, "v=").flatMap((version) => foldersIn(version, "as_of=")).map((day) => path.join(day, `run=${name}`));

// Where the run before is still there, and as it was signed, its number is the one before.
function checkSequence(root, manifest, key) {
  if (manifest.previous_run_id === null) return;
  for (const run of placesOf(root, manifest.previous_run_id)) {
    const file = path.join(run, "_manifest.json");
    if (!isFile(file) || !isSignedBy(run, fs.readFileSync(file), key)) continue;
    refuseIf(readObject(file, "sequence").seq !== manifest.seq - 1, "sequence", "seq does not follow the run before");
  }
}

async function verifyNewest(root, key, at) {
  const pointer = readPointer(root);
  refuseIf(!pointer.isWhole && !fs.existsSync(path.join(root, pointer.path)), "pointer", "LATEST.json points to a run that is not there");
  const run = path.join(root, pointer.path);
  const { manifest, rows } = await verifyRun(run, path.basename(root), key, at);
  const isTrue = ["segment", "run_id", "seq", "as_of", "valid_until"].every((name) => pointer[name] === manifest[name]);
  refuseIf(!pointer.isSame || !isTrue, "pointer", "LATEST.json says something else than the run it points to");
  checkSequence(root, manifest, key);
  return { manifest, rows };
}

// ------------------------------------------------------------------------------------ consuming

function meant(rows, manifest) {
  if (manifest.format !== "csv" || manifest.spreadsheet?.rule !== "neutralise") return rows;
  const names = textColumns(manifest).map((column) => column.name);
  return rows.map((row) => ({ ...row, ...Object.fromEntries(names.map((name) => [name, row[name].replace(/^'/, "")])) }));
}

const isEqual = (one, other) => JSON.stringify(one) === JSON.stringify(other);

async function consume(root, key, memory, at, kind = "audience") {
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const { manifest, rows } = await verifyNewest(root, key, at);
    refuseIf((manifest.kind ?? "audience") !== kind, "place", `the folder holds no ${kind}`);
    const state = take(manifest, rows, memory);
    // Published meanwhile: what was read may be superseded already.
    if (readPointer(root).run_id === manifest.run_id) return { manifest, ...state };
  }
  throw new Refusal("superseded", "the segment is published faster than it is read");
}

function take(manifest, rows, memory) {
  const held = new Map(Object.entries(memory.rows ?? {}));
  refuseIf(manifest.seq < (memory.seq ?? 0), "replay", `seq is ${manifest.seq}, and ${memory.seq} was used before`);
  let outcome = "snapshot";
  let next = new Map(meant(rows.snapshot, manifest).map((row) => [row.recipient_key, row]));
  if (manifest.run_id === memory.run_id) {
    outcome = "nothing new";
    next = held;
  } else if (manifest.mode.includes("delta") && manifest.previous_run_id !== null && manifest.previous_run_id === memory.run_id) {
    outcome = "delta";
    next = new Map(held);
    for (const { op, ...row } of meant(rows.delta, manifest)) {
      if (op === "EXIT") next.delete(row.recipient_key);
      else next.set(row.recipient_key, row);
    }
    refuseIf(next.size !== manifest.counts.published, "delta", "the delta does not lead to as many recipients as were published");
  }
  const change = {
    outcome,
    enter: [...next.keys()].filter((name) => !held.has(name)).sort(),
    exit: [...held.keys()].filter((name) => !next.has(name)).sort(),
    update: [...next.keys()].filter((name) => held.has(name) && !isEqual(held.get(name), next.get(name))).sort(),
  };
  const { run_id, seq, valid_until } = manifest;
  return { change, state: { run_id, seq, valid_until, rows: Object.fromEntries(next) } };
}

// Your engine: contact one recipient. Give the status to report.
const send = () => "SENT";

const RECEIPT = ["receipt_id", "run_id", "destination", "recipient_key", "segment", "channel", "status", "purpose", "event_at"];

function writeReceipts(file, change, manifest, state, at) {
  const lines = change.enter.map((recipient_key) => {
    const channel = state.rows[recipient_key].channel || "SMS";
    const status = send(state.rows[recipient_key]);
    const { run_id, destination, segment, purpose } = manifest;
    // The same contact has the same receipt_id for ever.
    const receipt_id = sha256([run_id, recipient_key, channel, status].join("|")).slice(0, 24);
    const receipt = { receipt_id, run_id, destination, recipient_key, segment, channel, status, purpose, event_at: at };
    return RECEIPT.map((name) => receipt[name]).join(",");
  });
  const header = fs.existsSync(file) ? [] : [RECEIPT.join(",")];
  fs.appendFileSync(file, [...header, ...lines].map((line) => `${line}\r\n`).join(""));
}

async function verify(folder, key, at) {
  const isRun = path.basename(folder).startsWith("run=");
  const root = isRun ? path.resolve(folder, "../../..") : folder;
  const isNewest = !isRun || path.join(root, readPointer(root).path) === folder;
  refuseIf(!isNewest, "superseded", "a newer run replaced this one");
  const { manifest } = await verifyNewest(root, key, at);
  return { outcome: "good", recipients: manifest.counts.published };
}

function readMemory(file) {
  if (!fs.existsSync(file)) return {};
  try {
    return JSON.parse(fs.readFileSync(file, "utf8"));
  } catch {
    throw new Unready(1, `the memory ${file} cannot be read; without it the next run loads the snapshot, so move it away`);
  }
}

async function run(options, folder, key, at) {
  const memory = readMemory(options.memory);
  const segment = path.basename(folder);
  if (options.directory) memory._directory = (await consume(path.resolve(options.directory), key, memory._directory ?? {}, at, "directory")).state;
  const { change, manifest, state } = await consume(folder, key, memory[segment] ?? {}, at);
  if (options.directory) {
    const names = Object.keys(state.rows);
    change.addresses = Object.fromEntries(names.filter((name) => memory._directory.rows[name]).map((name) => [name, memory._directory.rows[name]]));
    change.unresolved = names.filter((name) => !memory._directory.rows[name]).sort();
  }
  // Before the memory: whoever is stopped here sends again under the same receipt_id, and nobody is forgotten.
  if (options.receipts) writeReceipts(options.receipts, change, manifest, state, options.at);
  memory[segment] = state;
  fs.writeFileSync(`${options.memory}.unfinished`, JSON.stringify(memory));
  fs.renameSync(`${options.memory}.unfinished`, options.memory);
  return change;
}

const USAGE = "node consume.mjs FOLDER --key-file KEY --memory FILE --at INSTANT [--receipts FILE] [--directory FOLDER], or --verify FOLDER...";

function usable(isGood, sentence) {
  if (!isGood) throw new Unready(2, `${sentence}; ${USAGE}`);
}

function readArguments() {
  const text = { type: "string" };
  const options = { "key-file": text, memory: text, receipts: text, directory: text, at: text, verify: { type: "boolean" } };
  let words;
  try {
    words = parseArgs({ allowPositionals: true, options });
  } catch (wrong) {
    usable(false, wrong.message.split("\n")[0].replace(/\.? To specify.*|\.$/, ""));
  }
  const { values, positionals } = words;
  usable(positionals.length > 0, "name the folder of a segment");
  usable(values["key-file"], "--key-file names the file of the verification key");
  usable(values.verify || values.memory, "--memory names the file in which the consumer keeps what it holds");
  usable(values.at && isInstant(values.at), "--at is an instant with its offset, such as 2026-11-21T09:00:00+08:00");
  usable(isFile(values["key-file"]), `there is no key file ${values["key-file"]}`);
  return { values, folders: positionals.map((name) => path.resolve(name)) };
}

async function main() {
  const { values, folders } = readArguments();
  const key = Buffer.from(fs.readFileSync(values["key-file"], "latin1").trim(), "latin1");
  for (const folder of folders) {
    let answer;
    try {
      answer = await (values.verify ? verify(folder, key, new Date(values.at)) : run(values, folder, key, new Date(values.at)));
    } catch (wrong) {
      if (!(wrong instanceof Refusal)) throw wrong;
      answer = { outcome: "refused", kind: wrong.kind, sentence: wrong.message };
      process.exitCode = 1;
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
}

try {
  await main();
} catch (wrong) {
  if (!(wrong instanceof Unready)) throw wrong;
  process.stderr.write(`${wrong.message}\n`);
  process.exitCode = wrong.code;
}
