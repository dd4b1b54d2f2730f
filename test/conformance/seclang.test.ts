/*
 * The SecRules language tests (SpiderLabs/secrules-language-tests), beside the checkout as shared/seclang-tests. They are quick and run in the normal
 * suite too; here they stand with the other suites of others. Cases that cannot be read as they are written are listed there, each with its reason.
 */
import '../../src/waf/operators/seclang.test.ts'
import '../../src/waf/transform/seclang.test.ts'
