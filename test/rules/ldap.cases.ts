import type { Cases } from './cases.ts'

export const ldap: Cases = {
  4731300: {
    finds: ['*)(uid=*))(|(uid=*', 'admin)(&)', '*)(|(mail=*))', 'x)(cn=*', '*()|&', '(|(uid=a)(uid=b))'],
    passes: ['a (b) (c)', 'f(x) (y)', '(a|b)', 'terms apply *)', 'wink ;) (see below)'],
  },
  4731301: {
    finds: ['(objectClass=*)', 'x)(userPassword=*', '(sAMAccountName=admin)', 'objectclass=*', ')(cn=)'],
    passes: ['objectClass: person', 'the member of (staff)', 'cn = common name', 'userPassword', '(cn or uid)'],
  },
  4731302: {
    finds: [
      "' or name()='username' or 'x'='y",
      'count(/child::node())',
      "x' and count(/*)=1",
      '//descendant::a',
      "' or position()=1 or '",
      "x'] | //user",
    ],
    passes: [
      'not(exists(a)) and b',
      'Self::Item',
      "contains(name,'x') or startswith(y,'z')",
      'std::string::count',
      'child: yes',
    ],
  },
}
