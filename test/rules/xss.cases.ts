import type { Cases } from './cases.ts'

export const xss: Cases = {
  4731800: {
    finds: [
      '<script>alert(1)</script>',
      '<img src=x onerror=alert(1)>',
      '<a href="javascript:alert(1)">',
      '<svg onload=alert(1)>',
    ],
    passes: [
      '<p>Hello <b>you</b></p>',
      '<a href="https://x.example">x</a>',
      'a < b and c > d',
      'x<y',
      '<3 you',
      '<div xmlns="http://www.w3.org/1999/xhtml"><p>a</p></div>',
    ],
  },
  4731801: {
    finds: [
      '<script>',
      '<iframe src=x>',
      '<svg/x>',
      '<object data=x>',
      '<meta http-equiv=x>',
      '&lt;script&gt;',
      '<x:script>',
    ],
    passes: ['<script@x.example>', '<formal>', '<p>form</p>', '<base64>', '<styled-x>', 'a <- b'],
  },
  4731802: {
    finds: [
      '" onmouseover="alert(1)',
      '<b onclick=alert(1)>',
      "' onfocus=alert(1) x='",
      '<x onload=x()>',
      '/onerror=x()',
    ],
    passes: ['click on load = 5', 'on=1', 'based on error codes', 'only=5', 'onboarding=true', 'version=1'],
  },
  4731803: {
    finds: [
      'javascript:alert(1)',
      'java\tscript:x',
      'vbscript:x',
      'data:text/html,x',
      '<x formaction=y>',
      '<iframe srcdoc="x">',
    ],
    passes: [
      'JavaScript: The Good Parts',
      'I like javascript',
      'data:image/png;base64,AA',
      'my data: text',
      'learn JavaScript : here',
    ],
  },
  4731804: {
    finds: [
      '";alert(1)//',
      'document.cookie',
      'String.fromCharCode(1)',
      "eval('x')",
      "window['alert']",
      '[1].map(alert)',
      'alert.call(null,1)',
      'top["x"]',
    ],
    passes: [
      'Notify (alert)',
      'prompt delivery',
      'an alert: 5',
      'location = here',
      'the document: cookie recipe',
      'confirm (yes)',
    ],
  },
  4731805: {
    finds: ["'-alert(1)-'", '"+alert(1)+"', "';alert(1);//", '*/alert(1)/*', "'}alert(1)"],
    passes: ["it's - well - 'fine'", '"a" + "b"', "don't; can't", 'he said "hi"; left', "'quoted' - and done"],
  },
  4731806: {
    finds: [
      'x:expression(alert(1))',
      '-moz-binding:url(x)',
      '@import "x"',
      '</style><x>',
      'behavior:url(x)',
      'style="x:expression(1)"',
    ],
    passes: ['expression(s)', 'good behavior: yes', '@import-team', 'style: modern', 'freedom of expression (art. 5)'],
  },
  4731807: {
    finds: [
      '<img src=x onerror=y>',
      '<a href=javascript:x>',
      '<video src=1 onerror=x>',
      '<input autofocus onfocus=x>',
      '<a href="&#106;avascript:x">',
    ],
    passes: [
      '<img src="https://x.example/a.png" alt="a">',
      '<a href="/home">home</a>',
      '<b>bold</b>',
      '<td>5</td>',
      '<input type="text" name="a">',
    ],
  },
  4731808: {
    finds: [
      '![][+!+[]]+[]',
      '+ADw-script+AD4-',
      '&#x6a;&#x61;&#x76;&#x61;&#x73;&#x63;',
      '\\x3c\\x73\\x63\\x72\\x69',
      '\\u003cscript',
    ],
    passes: ['WOW!!!!!!!!!!!!!!!!!!!!', '++++++++++++++++', '&#8217;', '[[[]]]', 'caf\\u00e9', '(((hi)))'],
  },
}
