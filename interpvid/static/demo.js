// The demo's page: what is picked is asked of the server, and drawn by the widget's own script.
// The widget speaks to a model with traits, as in a notebook; here the model speaks to the server.
import widget from './widget.js'

const find = s => document.querySelector(s), all = s => [...document.querySelectorAll(s)]
const picked = name => find(`[name=${name}]:checked`).value
let shown = 0, close = () => {}, now = null

async function ask(action, body, raw) {
  let r
  try { r = await fetch(action, {method: 'POST', body: raw ?? JSON.stringify(body)}) }
  catch { throw Error('The demo does not answer. Is it still running in the terminal?') }
  const got = await r.json()
  if (!r.ok) throw Error(got.error)
  return got
}
const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0))
const said = (text, wrong = false) => { const a = find('.answer'); a.textContent = text; a.classList.toggle('error', wrong) }

function model(of, traits) {
  const values = {}, hears = {}
  const fire = name => hears[name]?.forEach(f => f())
  const m = {
    get: k => values[k],
    set(k, v) { values[k] = v; fire('change:'+k) },
    on(name, f) { (hears[name] ??= new Set()).add(f) },
    off(name, f) { hears[name]?.delete(f) },
    save_changes() {},
    take(got) { // all of them first: one that changes may look at another
      for (const [k, v] of Object.entries(got)) values[k] = v?.base64 === undefined ? v : bytes(v.base64)
      for (const k of Object.keys(got)) fire('change:'+k)
    },
    async send(message) {
      try { m.take((await ask('request', {...of, message})).traits) }
      catch (e) { said(e.message, true) }
    },
  }
  m.take(traits)
  return m
}

// On a phone the clips stand in a row that scrolls sideways: the one that is picked is brought into it.
function seen() {
  const row = find('.row'), of = find('[name=clip]:checked').parentElement.getBoundingClientRect(), in_ = row.getBoundingClientRect()
  row.scrollLeft += of.left-in_.left-(in_.width-of.width)/2
}

async function show() {
  const mine = ++shown, of = {clip: +picked('clip'), net: picked('net')}, box = find('.shown')
  box.classList.add('wait'); box.ariaBusy = 'true'
  said('Explaining: this takes some seconds …')
  try {
    const got = await ask('open', of)
    if (mine != shown) return // another was picked meanwhile
    close()
    const el = document.createElement('div')
    find('.widget').replaceChildren(el)
    now = {of, model: model(of, got.traits)}
    close = (await widget.render({model: now.model, el})) ?? (() => {})
    said(got.answer)
    find('.notes').replaceChildren(...got.notes.map(n => Object.assign(document.createElement('li'), {textContent: n})))
  } catch (e) { if (mine == shown) said(e.message, true) }
  finally { if (mine == shown) { box.classList.remove('wait'); box.ariaBusy = 'false' } }
}

async function press(button) {
  if (!now) return
  const {of, model} = now, text = button.textContent
  all('.do button').forEach(b => { b.disabled = true })
  button.textContent = 'Looking …'
  try { model.take((await ask('find', {...of, how: button.dataset.how})).traits) }
  catch (e) { said(e.message, true) }
  finally {
    button.textContent = text
    all('.do button').forEach(b => { b.disabled = false })
    button.focus()
  }
}

async function add(file) {
  const most = +find('[type=file]').dataset.limit
  if (file.size > most) return said(`The file has ${Math.round(file.size/1e6)} MB, and at most ${most/1e6} are taken: cut out a part.`, true)
  said('Reading the video …')
  try {
    const got = await ask('add', null, file), label = document.createElement('label'), image = new Image(64, 64)
    const input = Object.assign(document.createElement('input'), {type: 'radio', name: 'clip', value: got.clip, checked: true})
    image.src = got.picture; image.alt = ''
    label.append(input, image, Object.assign(document.createElement('span'), {textContent: got.name}))
    find('.row').prepend(label)
    find('.row').scrollLeft = 0
    show()
  } catch (e) { said(e.message, true) }
}

find('.pick').addEventListener('change', e => { if (e.target.type == 'radio') show(); else if (e.target.files[0]) add(e.target.files[0]) })
all('.do button').forEach(b => { b.onclick = () => press(b) })
seen()
show()
