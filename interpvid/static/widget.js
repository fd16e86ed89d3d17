// The scrubber as an ipywidget: frames come once, as one picture; what the reader does goes back only where it changes a mask.
export default {
  render({model, el}) {
    const host = document.createElement('div')
    host.dataset.lmSuppressShortcuts = 'true' // JupyterLab's
    el.append(host)
    let asked = 0, answered = 0, timer
    const s = scrubber(host, {
      moved: t => model.set('frame', t), // stays in the browser: nothing is sent
      painted: (k, mask) => {
        model.set('masks', model.get('masks').map((m, i) => i == k ? mask : m))
        model.save_changes()
        clearTimeout(timer); if (model.get('listens')) timer = setTimeout(() => s.say('No answer yet: the kernel is busy, or gone. Frames and mask can be moved all the same.'), 3000); else s.wait(false)
      },
    })
    const key = () => model.get('masks').map(m => m.map(v => +(v > .5)).join('')).join()
    async function refresh() {
      const mine = ++asked, b = model.get('sheet')
      try {
        const picture = await createImageBitmap(new Blob([b.buffer ? b.buffer.slice(b.byteOffset, b.byteOffset+b.byteLength) : b], {type: 'image/jpeg'}))
        if (mine != asked) return // a newer clip has come
        s.show({...model.get('spec'), rows: model.get('spec').rows.map((r, k) => ({...r, mask: model.get('masks')[k]}))}, picture)
        answer()
      } catch (e) { s.say(`The frames could not be drawn (${e.message}); run the cell again.`) }
    }
    function answer() { // what is said of another mask than the one on screen is stale
      const a = model.get('answer')
      if (a.masks === undefined) return
      clearTimeout(timer)
      if (a.masks == key()) s.scores(a.scores)
      s.say(a.note || '')
    }
    const on = {
      'change:sheet': refresh, 'change:spec': refresh, 'change:answer': answer,
      'change:frame': () => s.go(model.get('frame')),
      'change:masks': () => model.get('masks').forEach((m, k) => { if (k < model.get('spec').rows.length) s.mask(k, m) }),
      'comm_live_update': () => s.say('The kernel is gone. Frames and mask can be moved all the same; for new scores run the cell again.'),
    }
    for (const [name, f] of Object.entries(on)) model.on(name, f)
    refresh()
    return () => { s.stop(); clearTimeout(timer); for (const [name, f] of Object.entries(on)) model.off(name, f) }
  },
}
