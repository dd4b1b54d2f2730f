import type { Cases } from './cases.ts'

export const xml: Cases = {
  4731701: {
    finds: [
      { xml: '<?xml version="1.0"?><!DOCTYPE a SYSTEM "http://x.example/a.dtd"><a>x</a>' },
      '<!ENTITY x SYSTEM "http://x.example/">',
      '<!DOCTYPE a SYSTEM "http://x.example/a.dtd">',
      '<!DOCTYPE a [<!ELEMENT a ANY>]>',
    ],
    passes: [
      { xml: '<?xml version="1.0"?><order><id>5</id><note>a &amp; b</note></order>' },
      { json: 'the DOCTYPE of the entity system' },
      { json: '100 % all; done' },
      { json: 'AT&T; R&D' },
    ],
  },
  4731702: {
    finds: [
      '<xi:include href="x"/>',
      '<xsl:value-of select="x"/>',
      '<?xml-stylesheet href="x"?>',
      "php:function('x')",
      '<a xmlns:xi="http://www.w3.org/2001/XInclude"/>',
    ],
    passes: [
      { xml: '<a xmlns:b="http://example.com/b"><b:c>d</b:c></a>' },
      'xi include',
      'xsl: sheets',
      'the document ("a")',
      'php function',
    ],
  },
  4731703: {
    finds: [
      '<object class="java.lang.ProcessBuilder">',
      '<java version="1.8" class="java.beans.XMLDecoder">',
      '<void method="start">',
      '<ObjectDataProvider x>',
      '<dynamic-proxy>',
    ],
    passes: [
      { xml: '<object><class>5</class></object>' },
      'an object of a class',
      'dynamic proxy',
      'void method',
      { xml: '<java>coffee</java>' },
    ],
  },
  4731704: {
    finds: [
      '<!--#exec cmd="ls" -->',
      '<!--#include virtual="/x" -->',
      '<esi:include src="x"/>',
      '<!--#echo var="DATE_LOCAL" -->',
    ],
    passes: ['#exec summary', '#include us', 'echo #1', 'a -- # b'],
  },
}
