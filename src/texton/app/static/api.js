// Requests to this server, and what it tells: one stream of events for the whole page.
import { toast } from "./dom.js";

const meta = () => document.querySelector('meta[name="texton-token"]');
export const ENDED = new Set(["done", "failed", "cancelled", "displaced"]);

// What the server refused, in its words; option: of the form, that it is about.
export class Refused extends Error {
  constructor(status, told) {
    super(told.error);
    this.status = status;
    this.option = told.option ?? null;
  }
}

async function reason(answer) {
  try {
    const told = await answer.json();
    if (typeof told.error === "string") return told;
  } catch { /* not of this server's making */ }
  return { error: `The server answered ${answer.status} ${answer.statusText}`.trim() };
}

// A server that was started again knows neither this page's session nor its token.
async function renew() {
  const page = new DOMParser().parseFromString(await (await fetch("/")).text(), "text/html");
  const fresh = page.querySelector('meta[name="texton-token"]');
  if (fresh) meta().content = fresh.content;
}

async function ask(method, path, body = null, headers = {}, again = false) {
  let answer;
  try {
    const told = method === "GET" ? headers : { ...headers, "X-Texton-Token": meta().content };
    answer = await fetch(path, { method, body, headers: told });
    if (answer.status === 403 && !again) {
      await renew();
      return await ask(method, path, body, headers, true);
    }
  } catch (error) {
    if (error instanceof Refused) throw error;
    throw new Refused(0, { error: "The server does not answer. Is texton app still running in its terminal?" });
  }
  if (!answer.ok) throw new Refused(answer.status, await reason(answer));
  return answer;
}

export const get = async (path) => (await ask("GET", path)).json();
export const remove = (path) => ask("DELETE", path);
export const post = async (path, body, headers) => (await ask("POST", path, body, headers)).json();

// Asked: of two requests that cross on their way, the slot keeps the later.
export const work = (body) => post("/api/work", JSON.stringify({ asked: performance.timeOrigin + performance.now(), ...body }), { "Content-Type": "application/json" });
const cancel = (id) => remove(`/api/work/${encodeURIComponent(id)}`);

// Cancels what a slot runs, if it runs something.
export function cancelSlot(slot) {
  const known = states.get(slot)?.work;
  if (known && !ENDED.has(known.state)) cancel(known.id).catch(() => null);
}

export const history = () => get("/api/history");
export const open = (file) => post("/api/open", file, { "Content-Type": "image/png" });

// A file becomes a photograph of this server: told to every picker by the event "photos".
export async function upload(file, house) {
  if (file.size > house.limits.bytes) {
    throw new Refused(413, { error: `'${file.name}' is larger than ${Math.floor(house.limits.bytes / 2 ** 20)} MB: save it smaller first` });
  }
  const photo = await post("/api/photos", file, { "X-Name": encodeURIComponent(file.name) });
  if (!house.photos.some((one) => one.id === photo.id)) house.photos.push(photo);
  tell("photos", { slot: null, photo });
  return photo;
}

const networks = new Map();

// {name, layers}; the first time a network is asked for, it is loaded.
export function network(name) {
  if (!networks.has(name)) {
    const asked = get(`/api/network?name=${encodeURIComponent(name)}`);
    asked.catch(() => networks.delete(name));
    networks.set(name, asked);
  }
  return networks.get(name);
}

// All feature maps of a layer: {channels, rows, columns, energies, peaks, bytes (C·M·N)}.
export async function maps({ photo, network: name, layer, size }, signal) {
  const query = new URLSearchParams({ photo, network: name, layer, size });
  let answer;
  try {
    answer = await fetch(`/api/maps?${query}`, { signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, { error: "The server does not answer. Is texton app still running in its terminal?" });
  }
  if (!answer.ok) throw new Refused(answer.status, await reason(answer));
  const told = JSON.parse(answer.headers.get("X-Maps"));
  return { ...told, bytes: new Uint8Array(await answer.arrayBuffer()) };
}

// Of every slot the work that was asked for last: {work, frame, picture, points of its lines}.
export const states = new Map();
const listeners = new Set();

// fn is called with the data of "work", "frame", "picture", "photos" or "connection"; slot null:
// of every slot. Returns what ends it.
export function on(event, slot, fn) {
  const one = { event, slot, fn };
  listeners.add(one);
  return () => listeners.delete(one);
}

function tell(event, data) {
  for (const one of [...listeners]) {
    if (one.event === event && (one.slot === null || one.slot === data.slot)) one.fn(data);
  }
}

function isNews(event, data) {
  const known = states.get(data.slot);
  if (event !== "work") return known?.work.id === data.id;
  if (known && known.work.id !== data.id && ENDED.has(data.state)) {
    return data.state !== "displaced" && ENDED.has(known.work.state);
  }
  return data.state !== "displaced" || known?.work.id === data.id;
}

function hear(event, text) {
  const data = JSON.parse(text);
  seen.add(data.id);
  if (!isNews(event, data)) return;
  const known = states.get(data.slot);
  if (event === "work" && known?.work.id !== data.id) states.set(data.slot, { work: data, frame: null, picture: null, points: [] });
  else known[event] = event === "picture" ? data.picture : data;
  if (event === "frame") known.points.push({ step: data.step, error: data.error, achieved: data.achieved });
  tell(event, data);
}

let source = null, broken = false, seen = new Set();

// Begins to listen; when the server was away, its works are gone and are told so.
export function listen() {
  source = new EventSource("/api/events");
  for (const event of ["work", "frame", "picture"]) source.addEventListener(event, (one) => hear(event, one.data));
  source.onopen = () => {
    if (broken) toast("The server is back.");
    if (broken) setTimeout(forget, 1500);
    broken = false;
    tell("connection", { slot: null, open: true });
  };
  source.onerror = () => {
    if (!broken) seen = new Set();
    broken = true;
    tell("connection", { slot: null, open: false });
    if (source.readyState !== EventSource.CLOSED) return;
    setTimeout(() => renew().catch(() => null).then(listen), 1000);
  };
}

function forget() {
  for (const [slot, { work: old }] of states) {
    if (ENDED.has(old.state) || seen.has(old.id)) continue;
    const lost = { ...old, slot, state: "cancelled", message: "The server was started again; this was lost." };
    states.get(slot).work = lost;
    tell("work", lost);
  }
}

addEventListener("pagehide", () => source?.close());
addEventListener("pageshow", (event) => { if (event.persisted) listen(); });
