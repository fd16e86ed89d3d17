// The scrubber as an ipywidget: frames come once, as one picture; what goes back is what the reader paints, and nothing else.
export default {
  render({model, el}) {
    const host = document.createElement('div')
    host.dataset.lmSuppressShortcuts = 'true' // JupyterLab's
    el.append(host)
    // Strokes are numbered, by the clock so that two views of one widget agree: what the kernel says about an older stroke is stale.
    let stroke = 0, sent = 0, painted, asked = 0, timer
    const s = scrubber(host, {
      moved: t => model.set('frame', t), // for other views in this browser; it is never sent
      painted: (k, mask) => {
        painted = now().map((m, i) => i == k ? mask : m); stroke = Math.max(stroke+1, Date.now())
        if (!sent) send() // one at a time: while the network looks, strokes add up
      },
    })
    function now() { // what was painted on another clip is past
      const {masks, n} = model.get('state'), fits = painted && String(painted.map(m => m.length)) == String(masks.map(m => m.length))
      return stroke > n && fits ? painted : masks
    }
    function send() {
      sent = stroke
      model.send({masks: painted, n: stroke})
      clearTimeout(timer); timer = setTimeout(() => s.say('No answer yet: the kernel is busy, or gone. Frames and mask can be moved all the same.'), 3000)
    }
    async function refresh() {
      const mine = ++asked, b = model.get('sheet')
      try {
        const picture = await createImageBitmap(new Blob([b], {type: 'image/jpeg'}))
        if (mine != asked) return // a newer clip has come
        const spec = model.get('spec'), masks = now()
        s.show({...spec, rows: spec.rows.map((r, k) => ({...r, mask: masks[k]}))}, picture)
        s.go(Math.min(model.get('frame'), spec.T-1)); answer()
      } catch (e) { s.say(`The frames could not be drawn (${e.message}); run the cell again.`) }
    }
    function state() {
      if (stroke > model.get('state').n) return
      model.get('state').masks.forEach((m, k) => s.mask(k, m))
      if (model.get('answer').masks !== undefined && model.get('answer').masks != key()) s.wait()
    }
    const key = () => now().map(m => m.map(v => +(v > .5)).join('')).join()
    function answer() {
      const a = model.get('answer')
      if (sent && a.n >= sent) { sent = 0; clearTimeout(timer); if (stroke > a.n) send() }
      if (a.masks == key()) { s.scores(a.scores); s.say(a.note || '') }
    }
    const on = {
      'change:sheet': refresh, 'change:spec': refresh, 'change:state': state, 'change:answer': answer, 'change:frame': () => s.go(model.get('frame')),
      'comm_live_update': () => s.say('The kernel is gone. Frames and mask can be moved all the same; for new scores run the cell again.'),
    }
    for (const [name, f] of Object.entries(on)) model.on(name, f)
    refresh()
    return () => { s.stop(); clearTimeout(timer); for (const [name, f] of Object.entries(on)) model.off(name, f) }
  },
}
