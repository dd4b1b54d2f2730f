/**
 * What browsers run on pages that take a passkey: shows the form where passkeys can be had, asks the authenticator when it
 * is sent, and sends what came of it as a field. The page's options stand in an attribute, so no inline script is needed.
 */
export const passkeyScript = `'use strict'
{
  const library = window.SimpleWebAuthnBrowser
  for (const form of document.querySelectorAll('form[data-passkey]')) {
    if (!library || !library.browserSupportsWebAuthn()) continue
    form.hidden = false
    const button = form.querySelector('button')
    const status = form.querySelector('[role=status]')
    form.addEventListener('submit', async (event) => {
      event.preventDefault()
      button.disabled = true
      status.textContent = form.dataset.waiting
      const optionsJSON = JSON.parse(form.dataset.options)
      try {
        const ask = form.dataset.passkey === 'create' ? library.startRegistration : library.startAuthentication
        form.elements.credential.value = JSON.stringify(await ask({ optionsJSON }))
        const remember = document.querySelector('input[type=checkbox][name=remember]')
        if (remember && remember.checked && form.elements.remember) form.elements.remember.value = 'yes'
        form.submit()
      } catch (error) {
        button.disabled = false
        status.textContent = error && error.name === 'InvalidStateError' ? form.dataset.taken : form.dataset.failed
      }
    })
  }
}
`
