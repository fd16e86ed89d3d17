// The timeline of a film: a cursor over windows, moved by pointer, keys and buttons; the windows that are explained open beneath it.
// The page can be read without it. `data` comes from film.film_html: windows (start, stop, score), names of predicted classes, previews, explained windows.
function film(host, data) {
  const el = (tag, props, ...kids) => { const e = Object.assign(document.createElement(tag), props); e.append(...kids); return e }
  const {begin, end, start, stop, score, pred, top, names, what, sheet, tiles, digits, explained} = data, N = start.length
  const line = host.querySelector('.ivf-line'), panels = [...host.querySelectorAll('details')]
  const middle = k => (start[k]+stop[k])/2, percent = t => 100*(t-begin)/((end-begin) || 1)
  const number = v => v.toFixed(digits).replace('-', '−')
  let k = -1, shown = null, picture = null

  function clock(t) {
    const d = Math.round(t*10), h = Math.floor(d/36000), m = Math.floor(d/600)%60, s = (d%600/10).toFixed(1).padStart(4, '0')
    return h ? `${h}:${String(m).padStart(2, '0')}:${s}` : `${m}:${s}`
  }
  const nearest = t => { // windows are in the order of their starts, so of their middles
    let a = 0, b = N-1
    while (b-a > 1) { const c = (a+b) >> 1; if (middle(c) <= t) a = c; else b = c }
    return Math.abs(middle(a)-t) <= Math.abs(middle(b)-t) ? a : b
  }
  const inside = i => { const e = explained.indexOf(i); return e >= 0 ? e : explained.findIndex(j => start[j] <= middle(i) && middle(i) < stop[j]) }

  const cursor = el('div', {className: 'ivf-cursor'})
  const canvas = el('canvas', {width: sheet.size[0], height: sheet.size[1], role: 'img', ariaLabel: 'the middle of the window'})
  const says = el('div', {className: 'ivf-says', ariaLive: 'off'})
  const button = (text, f) => el('button', {type: 'button', textContent: text, onclick: f})
  const jumps = explained.map((i, e) => button(`${e+1} · ${clock(start[i])}`, () => { go(i); open(e) }))
  const now = el('div', {className: 'ivf-now'}, canvas, el('div', {className: 'ivf-side'}, says,
    el('div', {className: 'ivf-bar'}, button('Back', () => go(k-1)), button('Next', () => go(k+1)), ...(jumps.length ? [el('span', {textContent: 'explained:'}), ...jumps] : []))))

  function open(e) {
    if (e < 0) return
    panels.forEach((p, i) => { p.open = i == e })
    shown = e
  }
  function draw() {
    const {cell: [W, H], size: [w, h], across} = sheet, n = tiles[k], g = canvas.getContext('2d')
    if (picture) g.drawImage(picture, n%across*W, Math.floor(n/across)*H, w, h, 0, 0, w, h)
  }
  function go(i) {
    const e = inside(k = Math.max(0, Math.min(N-1, i)))
    cursor.style.left = `${percent(start[k])}%`; cursor.style.width = `${percent(stop[k])-percent(start[k])}%`
    const class_ = pred ? `predicted: ${names[pred[k]]} (${top[k].toFixed(2)})` : '', text = [`${clock(start[k])} to ${clock(stop[k])}`, `${what} ${number(score[k])}`, class_, e < 0 ? '' : `explained beneath: ${e+1}`].filter(s => s)
    says.replaceChildren(...text.map((s, j) => el(j ? 'div' : 'b', {textContent: s})))
    line.ariaValueNow = String(k); line.ariaValueText = text.join(', ')
    jumps.forEach((b, j) => { b.ariaPressed = String(j == e) })
    draw()
    if (e != shown) { if (e >= 0) open(e); else shown = null }
  }
  function keys(ev) {
    const step = {ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageUp: 10, PageDown: -10}[ev.key]
    if (ev.ctrlKey || ev.metaKey || ev.altKey) return
    ev.stopPropagation() // a notebook has its own meaning for most keys
    if (ev.target != line) return
    if (step) go(k+step)
    else if (ev.key == 'Home') go(0)
    else if (ev.key == 'End') go(N-1)
    else if (ev.key == 'Enter' || ev.key == ' ') { open(inside(k)); panels[inside(k)]?.scrollIntoView({block: 'nearest'}) }
    else return
    ev.preventDefault()
  }
  const at = ev => { const r = line.getBoundingClientRect(); return begin+(ev.clientX-r.left)/(r.width || 1)*(end-begin) }
  let held = false
  Object.assign(line, {tabIndex: 0, role: 'slider', ariaLabel: 'window of the film', ariaValueMin: '0', ariaValueMax: String(N-1),
    onpointerdown: ev => { if (ev.button) return; ev.preventDefault(); line.setPointerCapture(ev.pointerId); line.focus({preventScroll: true}); held = true; go(nearest(at(ev))) },
    onpointermove: ev => { if (held) go(nearest(at(ev))) },
    onpointerup: () => { held = false }, onpointercancel: () => { held = false }, onlostpointercapture: () => { held = false }})
  host.addEventListener('keydown', keys)
  line.append(cursor); line.parentNode.after(now)
  panels.forEach(p => {
    const start = () => { const d = p.querySelector('.iv'); if (p.open && d && !d.iv) { d.iv = 1; scrubber.start(d) } }
    p.addEventListener('toggle', start); start()
  })
  const image = new Image()
  image.src = sheet.src
  image.decode().then(() => { picture = image; draw() })
  const first = explained.length ? explained[0] : score.indexOf(Math.max(...score))
  go(first)
  return {go, at: () => k}
}
