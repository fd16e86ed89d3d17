// What tests/screens.py measures. Colours are read through a canvas, which knows every notation; shadow roots are entered.
() => {
  const all = r => [...r.querySelectorAll('*')].flatMap(e => [e, ...(e.shadowRoot ? all(e.shadowRoot) : [])])
  const up = e => e.assignedSlot || e.parentElement || e.getRootNode().host
  const elements = all(document.body), wide = document.documentElement.clientWidth
  const g = Object.assign(document.createElement('canvas'), {width: 1, height: 1}).getContext('2d', {willReadFrequently: true})
  const known = {}
  const rgba = s => known[s] ??= (g.clearRect(0, 0, 1, 1), g.fillStyle = '#000', g.fillStyle = s, g.fillRect(0, 0, 1, 1),
    [...g.getImageData(0, 0, 1, 1).data].map((v, i) => i < 3 ? v : v/255))
  const over = (a, b, alpha = a[3]) => [0, 1, 2].map(i => a[i]*alpha+b[i]*(1-alpha))
  const canvas = document.body.appendChild(document.createElement('i'))
  canvas.style.backgroundColor = 'Canvas'
  const page = rgba(getComputedStyle(canvas).backgroundColor)
  canvas.remove()
  const seen = e => { const b = e.getBoundingClientRect(); return b.width > 1 && b.height > 1 && e.checkVisibility({opacityProperty: true, visibilityProperty: true}) }
  const behind = e => {
    const layers = []
    for (let n = e; n; n = up(n)) { const c = rgba(getComputedStyle(n).backgroundColor); if (c[3]) layers.push(c); if (c[3] == 1) break }
    return layers.reverse().reduce((b, c) => over(c, b), page)
  }
  const opacity = e => { let o = 1; for (let n = e; n; n = up(n)) o *= +getComputedStyle(n).opacity; return o }
  const light = c => c.slice(0, 3).map(v => (v /= 255) <= .03928 ? v/12.92 : ((v+.055)/1.055)**2.4).reduce((s, v, i) => s+v*[.2126, .7152, .0722][i], 0)
  const contrast = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q-p); return (x+.05)/(y+.05) }
  const name = e => `${e.localName}.${e.getAttribute('class') || ''} ${(e.ariaLabel || e.textContent || e.name || '').trim().slice(0, 40)}`

  const faint = [], smallest = {side: 1e9, who: ''}, small = [], long = [], code = [], tables = []
  let texts = 0
  for (const e of elements) {
    if (!seen(e)) continue
    const s = getComputedStyle(e), box = e.getBoundingClientRect()
    const own = [...e.childNodes].some(n => n.nodeType == 3 && n.textContent.trim())
    if (own && !e.closest('option,script,style,[disabled]')) {
      texts++
      const back = behind(e), c = rgba(s.color), ratio = contrast(over(c, back, c[3]*opacity(e)), back)
      const large = parseFloat(s.fontSize) >= 24 || parseFloat(s.fontSize) >= 18.66 && +s.fontWeight >= 700
      if (ratio < (large ? 3 : 4.5)-.005) faint.push(`${ratio.toFixed(2)} ${name(e)}`)
    }
    if (e.matches('a[href],button,input:not([type=hidden]),select,textarea,summary,label[for],[role=button],[role=slider]')) {
      const inline = e.localName == 'a' && s.display.startsWith('inline') && !e.closest('.source,.colab') // a link in a sentence
      const switches = e.closest('.marks')?.getRootNode().querySelector('.this') // has a large button that does the same
      const target = e.closest('label')?.getBoundingClientRect() || (e.closest('.marks') && switches ? e.closest('.marks').getBoundingClientRect() : box)
      const side = Math.min(target.width, target.height)
      if (!inline && !e.disabled && target.right > 0 && target.left < wide) {
        if (side < smallest.side) Object.assign(smallest, {side, who: name(e)})
        if (side < 43.5) small.push(`${side.toFixed(0)} ${name(e)}`)
      }
    }
    const holder = n => { for (let m = up(n); m; m = up(m)) if (/auto|scroll/.test(getComputedStyle(m).overflowX)) return m }
    const cut = e.localName == 'pre' && e.scrollWidth > e.clientWidth+1
    if (cut && e.closest('.cell_input, section.api > div[class*=highlight]')) long.push(name(e)) // outputs may scroll
    if (cut && e.offsetHeight-e.clientHeight < 4) code.push(name(e)) // a scroll bar takes room
    if (e.localName == 'pre' && box.right > wide+1 && !holder(e)) code.push(name(e))
    if (e.localName == 'table' && box.right > wide+1 && !holder(e)) tables.push(name(e))
  }
  return {faint, smallest, small, long, code, tables, texts, wide: document.documentElement.scrollWidth-innerWidth}
}
