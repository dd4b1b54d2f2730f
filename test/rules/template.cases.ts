import type { Cases } from './cases.ts'

export const template: Cases = {
  4731400: {
    finds: ['{{7*7}}', '${7*7}', '<%= 7*7 %>', '#{3*3}', "{{7*'7'}}", '${{<%[%\'"}}%\\', '@(1+2)'],
    passes: ['{{ order.total }}', '${PRICE}', '{{ 7 }}', '[[1,2],[3,4]]', '${{ secrets.KEY }}', '{"a":{"b":{"c":1}}}'],
  },
  4731401: {
    finds: [
      '{{config.items()}}',
      "{{''.__class__}}",
      '{{ request.application }}',
      "{{['id']|filter('system')}}",
      "{{constructor.constructor('x')()}}",
      '{{ self }}',
    ],
    passes: [
      'Dear {{ customer.first_name }},',
      '{{ date | date: "%Y" }}',
      '{{#if user}}Hi{{/if}}',
      '{{> header}}',
      '{{ items | size }}',
    ],
  },
  4731402: {
    finds: [
      '{% import os %}{{ os.x }}',
      '{% debug %}',
      "{% for c in ''.__class__.__mro__ %}",
      '{% set x = request.args %}',
      '{% if self.x %}',
    ],
    passes: [
      '{% if user %}Hi{% endif %}',
      '{% for item in items %}',
      '{% comment %}',
      '{% assign x = 5 %}',
      '50 % off {% }',
    ],
  },
  4731403: {
    finds: [
      '${T(java.lang.Runtime).getRuntime()}',
      '%{#context.x}',
      '${self.module.x}',
      '*{new java.util.X()}',
      '#{request.getClass()}',
      '${process.env.X}',
    ],
    passes: ['${BASE_URL}/v1', '${user.name}', '#{colour}', '${items.length}', 'Hello ${name}!', '@{username}'],
  },
  4731404: {
    finds: [
      "<%= system('id') %>",
      "<%= File.open('/x').read %>",
      '<% response.write(1) %>',
      '<%= `id` %>',
      '<%@ page import="x" %>',
    ],
    passes: ['<%= name %>', '5 <% 6', '<% if admin %>', '<%- body %>', '100 %> 50 <%'],
  },
  4731405: {
    finds: [
      '<#assign x=1>',
      '[#assign x=1]',
      '#set($x=1)',
      '{php}x{/php}',
      '"x"?new()',
      '@{System.x}',
      '{$smarty.version}',
      '#foreach($i in [1])',
    ],
    passes: ['#set of three', '#include everyone', '{literally}', 'is it new?', '{system: "metric"}', '<#hashtag>'],
  },
  4731406: {
    finds: [
      '().__class__.__bases__',
      'x.__subclasses__()',
      '__import__',
      "x|attr('__class__')",
      '\\x5f\\x5fclass\\x5f\\x5f',
      '__globals__',
    ],
    passes: ['__init__', '__name__', 'super().__init__()', '__typename', '__tests__/a.js', 'my__class__name'],
  },
}
