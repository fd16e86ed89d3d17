// The toolbar of a gallery. The cards are on the page already, in the order given, and can be read without it; it sorts and filters them,
// and starts the scrubber of a card that is opened. `data` comes from gallery.gallery_html: names of the networks, of the scores, their digits, and for each card
// its class and what each network said, {v: values in the order of the scores, right, at: which of the card's networks it is, title, caption, said: how many scores, notes: how many}.
function gallery(host, {models, scores, digits, cards}) {
  const el = (tag, props, ...kids) => { const e = Object.assign(document.createElement(tag), props); e.append(...kids); return e }
  const option = (value, textContent) => el('option', {value, textContent})
  const list = host.querySelector('.ivg-cards')
  const all = [...list.children].map((e, i) => ({e, i, ...cards[i], value: e.querySelector('.ivg-val')}))
  const classes = [...new Set(all.map(c => c.cls).filter(c => c !== null))].sort((a, b) => a.localeCompare(b))
  const choice = (name, ...options) => {
    const s = el('select', {onchange: update}, ...options)
    bar.append(el('label', {}, name, s))
    return s
  }
  const bar = el('div', {className: 'ivg-bar', role: 'group', ariaLabel: 'sort and filter', onkeydown: e => e.stopPropagation()}) // a notebook has its own meaning for most keys
  const by = choice('sort by'), down = choice('order', option('', 'ascending'), option('1', 'descending'))
  const cls = choice('true class', option('', 'all'), ...classes.map((c, k) => option(k, `${c} (${all.filter(o => o.cls === c).length})`)))
  const net = choice('network', option('', 'all'), ...models.map((m, j) => option(j, m)))
  const right = choice('prediction', option('', 'all'), option('right', 'right'), option('wrong', 'wrong'))
  const noted = choice('notes', option('', 'all'), option('with', 'with notes'), option('without', 'without notes')) // null results and other doubts
  const count = el('output', {ariaLive: 'polite'})
  bar.append(count); host.prepend(bar)
  net.parentNode.hidden = models.length < 2
  right.parentNode.hidden = all.every(c => c.nets.every(n => !n || n.right === null))
  cls.parentNode.hidden = classes.length < 2
  noted.parentNode.hidden = all.every(c => c.nets.every(n => !n?.notes))

  const paged = !list.querySelector('details'), picks = [net, cls, right, noted, down, by] // who comes back from a clip's page finds the cards as they were

  const chosen = () => net.value === '' ? models.map((_, j) => j) : [+net.value]
  function offer() { // of the networks that are shown; what was chosen stays, of another network if need be
    const was = by.value, of = j => scores.map((s, k) => option(`${j} ${k}`, models.length > 1 ? `${models[j]}: ${s}` : s))
    by.replaceChildren(option('given', 'as given'), option('class', 'class'), ...chosen().flatMap(j => models.length > 1 ? [el('optgroup', {label: models[j]}, ...of(j))] : of(j)))
    by.value = was || 'given'
    if (by.selectedIndex < 0) by.value = `${chosen()[0]} ${was.split(' ')[1]}`
  }
  function key(c) {
    if (by.value == 'given') return c.i
    if (by.value == 'class') return c.cls
    const [j, k] = by.value.split(' ')
    return c.nets[j]?.v[k] ?? null
  }
  function fits(c) {
    const seen = chosen().map(j => c.nets[j]).filter(n => n)
    if (!seen.length || cls.value !== '' && c.cls !== classes[cls.value]) return false
    if (noted.value && seen.some(n => n.notes) != (noted.value == 'with')) return false
    return !right.value || (right.value == 'right' ? seen.every(n => n.right) : seen.some(n => n.right === false))
  }
  function compare(a, b) { // what has no value comes last, whichever way
    const x = key(a), y = key(b)
    if (x === null || y === null) return (x === null) - (y === null) || a.i-b.i
    return (down.value ? -1 : 1)*(typeof x == 'string' ? x.localeCompare(y) : x-y) || a.i-b.i
  }
  function label(c) { // the number that it is sorted by
    if (!by.value.includes(' ')) return ''
    const v = key(c), n = digits[by.value.split(' ')[1]], p = 10**n
    return `${by.selectedOptions[0].textContent} ${v === null ? 'none' : (Math.round(v*p)/p+0).toFixed(n).replace('-', '−')}`
  }
  function columns(c) { // the scrubber shows the networks that are chosen
    const n = net.value === '' ? null : c.nets[net.value], s = c.spec
    if (!c.scrub || c.shown == net.value) return
    c.shown = net.value
    if (!n || s.rows.length < 2) return c.scrub.show(s)
    const before = c.nets.filter(o => o && o.at < n.at).reduce((sum, o) => sum+o.said, 0)
    c.scrub.show({...s, title: n.title, caption: n.caption, cols: s.cols.filter((_, i) => !i || Math.floor((i-1)/2) == n.at), rows: [s.rows[n.at]], curves: (s.curves || []).filter(c => c.of === undefined || c.of == n.at), scores: s.scores.slice(before, before+n.said)})
  }
  function update(e) {
    if (e?.target == net) offer()
    if (paged) history.replaceState({...history.state, [host.id]: picks.map(s => s.value)}, '')
    const some = all.filter(fits).length, order = [...all].sort(compare)
    if (order.some((c, i) => list.children[i] != c.e)) list.append(...order.map(c => c.e))
    for (const c of all) {
      c.e.hidden = !fits(c)
      c.value.textContent = label(c)
      c.e.querySelectorAll('.ivg-net').forEach((n, at) => { n.hidden = net.value !== '' && c.nets[net.value]?.at !== at })
      columns(c)
    }
    count.textContent = `${some} of ${all.length} clip${all.length == 1 ? '' : 's'}` + (some ? '' : ': widen a filter to see more')
  }
  for (const c of all) {
    const d = c.e.querySelector('details')
    if (d) d.ontoggle = async () => {
      if (!d.open || c.spec) return
      c.spec = {}; c.shown = ''
      c.scrub = await scrubber.start(d.querySelector('.iv')); c.spec = c.scrub.spec
      columns(c)
    }
  }
  offer()
  if (paged) history.state?.[host.id]?.forEach((v, k) => { if (picks[k] == by) offer(); picks[k].value = v })
  update()
}
