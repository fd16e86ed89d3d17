// The scrubber as an ipywidget: frames come once, as one picture; what the reader paints goes back as requests, and nothing else does.
export default {
  render({model, el}) {
    const host = document.createElement('div')
    host.dataset.lmSuppressShortcuts = 'true' // JupyterLab's
    el.append(host)
    // Each stroke has a version, by the clock so that two views of one widget agree: a state of an older version is stale.
    let version = 0, sent = 0, painted, asked = 0, timer
    const s = scrubber(host, {
      moved: t => model.set('frame', t), // for other views in this browser; it is never sent
      painted: (k, mask) => {
        painted = now().map((m, i) => i == k ? mask : m); version = Math.max(version+1, Date.now())
        if (!sent) send() // one request at a time: strokes add up until the reply
      },
    })
    function now() { // what was painted on another clip is past
      const {masks, version: handled} = model.get('state'), fits = painted && String(painted.map(m => m.length)) == String(masks.map(m => m.length))
      return version > handled && fits ? painted : masks
    }
    function send() {
      sent = version
      model.send({masks: painted, version})
      clearTimeout(timer); timer = setTimeout(() => s.say('No answer yet: the kernel is busy, or gone. Frames and mask can be moved all the same.'), 3000)
    }
    async function refresh() {
      const mine = ++asked, b = model.get('sheet')
      try {
        const picture = await createImageBitmap(new Blob([b], {type: 'image/jpeg'}))
        if (mine != asked) return // a newer clip has come
        const spec = model.get('spec'), masks = now()
        s.show({...spec, rows: spec.rows.map((r, k) => ({...r, mask: masks[k]}))}, picture)
        s.go(Math.min(model.get('frame'), spec.T-1)); reply()
      } catch (e) { s.say(`The frames could not be drawn (${e.message}); run the cell again.`) }
    }
    function state() {
      if (version > model.get('state').version) return
      model.get('state').masks.forEach((m, k) => s.mask(k, m))
      if (model.get('reply').masks !== undefined && model.get('reply').masks != key()) s.wait()
    }
    const key = () => now().map(m => m.map(v => +(v > .5)).join('')).join()
    function reply() {
      const r = model.get('reply')
      if (sent && r.version >= sent) { sent = 0; clearTimeout(timer); if (version > r.version) send() }
      if (r.masks == key()) { s.scores(r.scores); s.say(r.note || '') } // a reply for other masks is stale
    }
    const on = {
      'change:sheet': refresh, 'change:spec': refresh, 'change:state': state, 'change:reply': reply, 'change:frame': () => s.go(model.get('frame')),
      'comm_live_update': () => s.say('The kernel is gone. Frames and mask can be moved all the same; for new scores run the cell again.'),
    }
    for (const [name, f] of Object.entries(on)) model.on(name, f)
    refresh()
    return () => { s.stop(); clearTimeout(timer); for (const [name, f] of Object.entries(on)) model.off(name, f) }
  },
}
