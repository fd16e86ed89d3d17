// The scrubber: one drawing for notebooks (through anywidget, see widget.js), for the site and for saved pages.
// What it shows is `spec`, made by viz.scrub_parts: tiles of one picture, a list of them for each column; masks, curves and scores.
// It asks no network and no kernel; `link` says who wants to know what the reader does: moved(t), painted(k, mask).
function scrubber(host, link = {}) {
  const root = host.attachShadow({mode: 'open'}), box = document.createElement('div')
  let spec, picture, t = 0, playing = false, next = 0, due = 0, last = 0, fps = 0, loop = true, heat = 0, motion = false, masks = [], orders = [], draws = [], rows = [], values = [], perturb = {}
  const el = (tag, props, ...kids) => { const e = Object.assign(document.createElement(tag), props); e.append(...kids); return e }
  const find = s => box.querySelector(s)
  const style = el('style', {textContent: scrubber.style})
  const ICONS = {Play: 'M7 4v16l13-8z', Pause: 'M6 4h4v16H6zM14 4h4v16h-4z', Back: 'M5 4h3v16H5zM19 4v16L9 12z', Next: 'M16 4h3v16h-3zM5 4v16l10-8z',
    Loop: 'M17 1l4 4-4 4V6H7a4 4 0 0 0-4 4v1H1v-1a6 6 0 0 1 6-6h10zM7 23l-4-4 4-4v3h10a4 4 0 0 0 4-4v-1h2v1a6 6 0 0 1-6 6H7z'}
  const draw_svg = (tag, props, ...kids) => { const e = document.createElementNS('http://www.w3.org/2000/svg', tag); for (const k in props) e.setAttribute(k, props[k]); e.append(...kids); return e }
  const icon = (b, name) => { b.ariaLabel = b.title = name; b.replaceChildren(draw_svg('svg', {viewBox: '0 0 24 24', 'aria-hidden': true}, draw_svg('path', {d: ICONS[name]}))) }
  const say = (text = '') => { find('.say').textContent = text }

  // which frame of the original stands where, under a mask of 0 and 1
  const order = {
    freeze: m => { let k = 0; return m.map((v, i) => k = i && v > .5 ? k : i) },
    freeze_after: m => m.map((v, i) => { while (i < m.length-1 && m[i] > .5) i++; return i }),
    replace: m => m.map((v, i) => v > .5 ? i+m.length : i), // tiles of removed frames come after the clip's
    reverse: m => m.map((v, i) => {
      if (v <= .5) return i
      let a = i, b = i
      while (a > 0 && m[a-1] > .5) a--
      while (b+1 < m.length && m[b+1] > .5) b++
      return a+b-i
    }),
  }

  function draw() {
    const [w, h] = spec.size, [W, H] = spec.cell
    const tile = (g, k, alpha) => { g.globalAlpha = alpha; g.drawImage(picture, k%spec.across*W, Math.floor(k/spec.across)*H, w, h, 0, 0, w, h) }
    spec.cols.forEach((c, i) => {
      const p = c.by ? orders[i][t] : t
      tile(draws[i], c.tiles[p], 1)
      if (c.over) tile(draws[i], c.over[p], heat)
    })
  }
  function reorder() { spec.cols.forEach((c, i) => { if (c.by) orders[i] = order[perturb[i] || c.by](masks[c.mask].map(v => +(v > .5))) }) }
  const signed = v => (v < 0 ? '−' : '') + Math.abs(v).toFixed(2)
  function mark() {
    rows.forEach((marks, k) => marks.forEach((m, i) => {
      const on = masks[k][i] > .5
      m.className = (on ? 'on' : 'off') + (i == t ? ' here' : '')
      m.title = `frame ${i+1}: mask ${on ? 'on' : 'off'}` + (masks[k][i] % 1 ? `, ${masks[k][i].toFixed(2)}` : '')
      if (spec.rows[k].paint) { m.ariaChecked = String(on); m.ariaLabel = `frame ${i+1}`; m.tabIndex = i == t ? 0 : -1 }
    }))
    const f = find('[name=frame]'), on = masks.map((m, k) => `${spec.rows[k].name || 'mask'} ${m[t] > .5 ? 'on' : 'off'}`)
    values.forEach(c => { c.said.textContent = signed(c.values[t]); on.push(`${c.name} ${signed(c.values[t])}`) })
    f.value = t; f.ariaValueText = [`frame ${t+1} of ${spec.T}`, ...on].join(', ')
    find('output').textContent = `${t+1}/${spec.T}`
    find('.cursor i').style.left = `${100*(t+.5)/spec.T}%`
    const one = find('.this'), k = spec.rows.findIndex(r => r.paint)
    if (one) one.ariaPressed = String(masks[k][t] > .5)
  }
  function go(u, tell = true) {
    t = ((u % spec.T) + spec.T) % spec.T
    draw(); mark()
    if (tell) link.moved?.(t)
  }
  function tick(now) {
    if (!playing) return
    due += (now-last)*fps/1000; last = now
    const n = Math.floor(due+.05) // a screen is never quite on time
    if (n > 0) {
      due -= n
      if (!loop && t+n >= spec.T-1) { go(spec.T-1); play(false) } else go(t+n)
    }
    next = requestAnimationFrame(tick)
  }
  function play(on = !playing) {
    if (on && !loop && t == spec.T-1) go(0)
    playing = on; due = 0; last = performance.now()
    icon(find('.play'), on ? 'Pause' : 'Play')
    cancelAnimationFrame(next)
    if (on) next = requestAnimationFrame(tick)
  }

  function paint(k, i, on) {
    if ((masks[k][i] > .5) == on && !(masks[k][i] % 1)) return
    masks[k] = masks[k].map((v, j) => j == i ? +on : +(v > .5)) // what is painted is of 0 and 1
    reorder(); draw(); mark(); wait()
    link.painted?.(k, masks[k])
  }
  function wait(on = true) { find('.scores')?.classList.toggle('wait', on) }
  const under = (line, e) => { const r = line.getBoundingClientRect(); return Math.max(0, Math.min(spec.T-1, Math.floor((e.clientX-r.left)/(r.width || 1)*spec.T))) }
  function brush(line, k) { // press and drag
    let on = null, was
    line.onpointerdown = e => { if (e.button) return; e.preventDefault(); line.setPointerCapture(e.pointerId); const i = was = under(line, e); on = masks[k][i] <= .5; go(i); paint(k, i, on); rows[k][i].focus({preventScroll: true}) }
    line.onpointermove = e => { if (on === null) return; const i = under(line, e); if (i != was) { const s = Math.sign(i-was); for (let j = was+s; j != i+s; j += s) paint(k, j, on); was = i; go(i) } }
    line.onpointerup = line.onlostpointercapture = () => { on = null } // also where the line is taken away
    line.onclick = e => { const i = rows[k].indexOf(e.target); if (!e.detail && i >= 0) { go(i); paint(k, i, masks[k][i] <= .5) } } // Enter, space, a screen reader
  }
  function drag(line) { // a line that is not painted on leads to its frames
    let held = false
    line.onpointerdown = e => { if (!e.button) { held = true; line.setPointerCapture(e.pointerId); go(under(line, e)) } }
    line.onpointermove = e => { if (held) go(under(line, e)) }
    line.onpointerup = line.onlostpointercapture = () => { held = false }
    return line
  }

  function energy() { // how much the picture changes into each frame, of 1; nobody computes it before it is asked for
    const [w, h] = spec.size, [W, H] = spec.cell, n = w*h*3, c = spec.cols.find(c => !c.by) || spec.cols[0]
    const g = el('canvas', {width: w, height: h}).getContext('2d', {willReadFrequently: true})
    const pixels = c.tiles.slice(0, spec.T).map(k => { g.drawImage(picture, k%spec.across*W, Math.floor(k/spec.across)*H, w, h, 0, 0, w, h); return g.getImageData(0, 0, w, h).data })
    return pixels.map((p, i) => { let sum = 0; if (i) for (let j = 0; j < p.length; j++) if (j%4 < 3) sum += Math.abs(p[j]-pixels[i-1][j]); return sum/n/255 })
  }
  function curve({name, values}) { // bars from a line of zero
    const T = spec.T, high = Math.max(0, ...values), low = Math.min(0, ...values), scale = 38/(high-low || 1), zero = 1+high*scale
    const bars = values.map((v, i) => draw_svg('rect', {x: i+.1, width: .8, y: v > 0 ? zero-v*scale : zero, height: Math.abs(v)*scale, class: v < 0 ? 'minus' : 'plus'}))
    const svg = draw_svg('svg', {viewBox: `0 0 ${T} 40`, preserveAspectRatio: 'none', class: 'curve' + (name == 'motion energy' ? ' motion' : ''), role: 'img', 'aria-label': `${name}, frame by frame: ${values.map(signed).join(', ')}`},
      ...bars, draw_svg('rect', {x: 0, width: T, y: zero-.5, height: 1, class: 'zero'}))
    return drag(svg)
  }

  function keys(e) {
    const on = e.target, key = e.key
    if (e.ctrlKey || e.metaKey || e.altKey) return
    e.stopPropagation() // a notebook has its own meaning for most keys
    if (on.localName == 'select' || on.name == 'heat') return
    const row = rows.findIndex(r => r.includes(on)), step = {ArrowLeft: -1, ArrowRight: 1}[key]
    if (step) go(t+step)
    else if (key == 'Home') go(0)
    else if (key == 'End') go(spec.T-1)
    else if (key == ' ' && on.localName != 'button' && on.type != 'checkbox') play()
    else return
    e.preventDefault()
    if (row >= 0) rows[row][t].focus()
  }

  function scores(list = []) { // name, value, what it means, and what else there is to say
    const s = find('.scores'); if (!s) return
    s.replaceChildren(...list.map(([name, value, about, more]) => el('tr', {title: about ? name : ''},
      el('th', {scope: 'row'}, ...(about ? [about, ' ', el('small', {textContent: name})] : [name]), ...(more ? [el('div', {className: 'more', textContent: more})] : [])),
      el('td', {textContent: typeof value == 'number' ? value.toFixed(3) : value ?? ''}), el('td', {}, ...(typeof value == 'number' ? [el('meter', {value, ariaLabel: name})] : [])))))
    s.hidden = !list.length; wait(false)
  }

  function timeline() { // slider, masks and curves, a line each, over one another; one cursor for all
    const {T} = spec, lines = [], curves = [...spec.curves || []]
    if (motion && !curves.some(c => c.name == 'motion energy')) curves.push({name: 'motion energy', values: energy()})
    const named = (name, ...more) => el('span', {className: 'name'}, name, ...more)
    rows = []; values = []
    lines.push([null, el('div', {className: 'ruler'}, el('input', {type: 'range', name: 'frame', min: 0, max: T-1, value: t, ariaLabel: 'frame', oninput: e => go(+e.target.value)}))])
    spec.rows.forEach((r, k) => {
      const marks = Array.from({length: T}, () => r.paint ? el('button', {type: 'button', role: 'switch'}) : el('i'))
      const line = el('div', {className: 'marks' + (r.paint ? ' paint' : ''), role: r.paint ? 'group' : 'img'}, ...marks); rows.push(marks)
      line.ariaLabel = r.paint ? 'mask: Enter switches a frame on and off' : `${r.name || 'mask'}, 1 is on: ${r.mask.map(v => +(v > .5)).join('')}`
      if (r.paint) brush(line, k); else drag(line)
      const name = r.name || (curves.length ? 'mask' : '')
      lines.push([name && named(name), line])
    })
    for (const c of curves) {
      const said = el('b')
      values.push({...c, said}); lines.push([named(c.name, ' ', said), curve(c)])
    }
    const cursor = el('div', {className: 'cursor'}, el('i'))
    const e = el('div', {className: 'time' + (lines.some(l => l[0]) ? ' named' : '')}, ...lines.flatMap(([name, line]) => [name || el('span'), line]), cursor)
    e.style.setProperty('--T', T)
    return e
  }

  function build() {
    const {T, show: [sw, sh], size: [w, h]} = spec, wide = Math.max(60, sw) // of a column: room for its name
    draws = []
    const figures = spec.cols.map((c, i) => {
      const canvas = el('canvas', {width: w, height: h, role: 'img', ariaLabel: c.name}); canvas.style.width = sw+'px'; canvas.style.aspectRatio = `${sw}/${sh}`
      draws.push(canvas.getContext('2d'))
      const name = !c.by ? c.name : el('select', {ariaLabel: 'what the mask does', onchange: e => { perturb[i] = e.target.value; reorder(); draw() }},
        ...[[c.by, c.name], ...(c.by == 'reverse' ? [] : [['reverse', 'reversed']])].map(([v, s]) => el('option', {value: v, textContent: s, selected: v == (perturb[i] || c.by)})))
      const f = el('figure', {}, canvas, el('figcaption', {}, name)); f.style.width = wide+'px'
      return f
    })
    const button = (name, f, cls = '') => { const b = el('button', {type: 'button', onclick: f, className: 'icon '+cls}); icon(b, name); return b }
    const speeds = [...new Set([1, 2, 4, 6, 8, 12, 24, 30, 60, spec.fps, fps])].sort((a, b) => a-b)
    const looping = button('Loop', () => { loop = !loop; looping.ariaPressed = String(loop) })
    looping.ariaPressed = String(loop)
    const bar = el('div', {className: 'bar'}, button('Play', () => play(), 'play'), button('Back', () => go(t-1)), button('Next', () => go(t+1)), looping,
      el('output', {ariaHidden: 'true'}),
      el('select', {name: 'speed', ariaLabel: 'speed', onchange: e => { fps = +e.target.value; due = 0 }}, ...speeds.map(s => el('option', {value: s, textContent: `${s} fps`, selected: s == fps}))))
    const painted = spec.rows.findIndex(r => r.paint), carried = spec.curves?.some(c => c.name == 'motion energy')
    const more = el('div', {className: 'bar'},
      ...(painted >= 0 ? [el('button', {type: 'button', className: 'this', textContent: 'Mask this frame', onclick: () => paint(painted, t, masks[painted][t] <= .5)})] : []),
      ...(spec.cols.some(c => c.over) ? [el('label', {}, 'heat ', el('input', {type: 'range', name: 'heat', min: 0, max: 1, step: .05, value: heat, ariaLabel: 'opacity of the heat map', oninput: e => { heat = +e.target.value; draw() }}))] : []),
      ...(T > 1 && !carried ? [el('label', {}, el('input', {type: 'checkbox', name: 'motion', checked: motion, onchange: e => { motion = e.target.checked; find('.time').replaceWith(timeline()); mark() }}), ' motion energy')] : []))
    const left = el('div', {className: 'left'}, el('div', {className: 'cols'}, ...figures), bar, timeline(), more); left.style.maxWidth = Math.max(340, spec.cols.length*(wide+4)-4)+'px'
    box.replaceChildren(...(spec.title ? [el('b', {textContent: spec.title})] : []), el('div', {className: 'body'}, left, el('table', {className: 'scores'})),
      ...(spec.caption ? [el('div', {className: 'caption', textContent: spec.caption})] : []), el('div', {className: 'say', role: 'status'}))
    box.ariaLabel = spec.title || 'clip'
  }
  function show(s, p) { // a reader's settings outlast a new clip
    if (!spec) { fps = s.fps; heat = s.heat }
    spec = s; picture = p; t = Math.min(t, s.T-1); perturb = Object.fromEntries(Object.entries(perturb).filter(([i]) => s.cols[i]?.by))
    masks = s.rows.map(r => r.mask); build(); reorder(); go(t, false); scores(s.scores); if (playing) play(true)
  }

  function theme() { // dark where the page writes light text, whoever decided that: the system, JupyterLab, VS Code, a switch on the page
    const g = el('canvas', {width: 1, height: 1}).getContext('2d')
    g.fillStyle = getComputedStyle(host).color; g.fillRect(0, 0, 1, 1)
    const [r, green, b] = g.getImageData(0, 0, 1, 1).data
    host.classList.toggle('iv-dark', .3*r+.6*green+.1*b > 128)
  }
  const watch = new MutationObserver(theme), system = matchMedia('(prefers-color-scheme: dark)')
  for (const e of [document.documentElement, document.body]) watch.observe(e, {attributes: true})
  system.addEventListener('change', theme); host.addEventListener('pointerenter', theme)

  Object.assign(box, {className: 'box', tabIndex: 0, role: 'group', onkeydown: keys})
  box.append(el('div', {className: 'say', role: 'status'}))
  root.append(style, box); theme()
  return {show, say, scores, wait, go: u => { if (spec && u != t) go(u, false) }, stop: () => { playing = false; watch.disconnect(); system.removeEventListener('change', theme) },
    mask: (k, m) => { if (masks[k]?.length == m.length && m.some((v, i) => v != masks[k][i])) { masks[k] = m; reorder(); draw(); mark() } }}
}
// A picture that viz.parts_html put into `host` becomes a scrubber; `spec` may stand beside it as JSON.
scrubber.start = async (host, spec = JSON.parse(host.querySelector('script').textContent)) => {
  const i = new Image()
  i.src = decodeURIComponent(host.querySelector('img').src).match(/data:image\/jpeg;base64,[^']+/)[0]
  await i.decode()
  const s = scrubber(host)
  s.show(spec, i)
  return {spec, show: spec => s.show(spec, i)}
}
