// For the page's script: ESLint's own rules, without plugins. `.ci/run` runs it.
const names = ["atob", "Blob", "devicePixelRatio", "document", "history", "innerWidth", "location", "matchMedia", "scrollBy", "URL", "URLSearchParams", "addEventListener"];

export default [
  {
    files: ["**/*.js"],
    languageOptions: { ecmaVersion: 2024, sourceType: "module", globals: Object.fromEntries(names.map((name) => [name, "readonly"])) },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "array-callback-return": "error", "consistent-return": "error", "constructor-super": "error", curly: ["error", "multi-line"],
      "default-case-last": "error", eqeqeq: "error", "for-direction": "error", "getter-return": "error", "no-case-declarations": "error",
      "no-class-assign": "error", "no-compare-neg-zero": "error", "no-cond-assign": "error", "no-const-assign": "error",
      "no-constant-condition": ["error", { checkLoops: false }], "no-debugger": "error", "no-dupe-args": "error", "no-dupe-else-if": "error",
      "no-dupe-keys": "error", "no-duplicate-case": "error", "no-duplicate-imports": "error", "no-empty": "error", "no-eval": "error",
      "no-ex-assign": "error", "no-fallthrough": "error", "no-func-assign": "error", "no-global-assign": "error", "no-implied-eval": "error",
      "no-import-assign": "error", "no-irregular-whitespace": "error", "no-loss-of-precision": "error", "no-new-func": "error",
      "no-redeclare": "error", "no-restricted-properties": ["error", { property: "innerHTML" }, { property: "outerHTML" }, { property: "insertAdjacentHTML" }, { object: "document", property: "write" }],
      "no-self-assign": "error", "no-self-compare": "error", "no-shadow": ["error", { hoist: "functions" }], "no-sparse-arrays": "error",
      "no-undef": "error", "no-unreachable": "error", "no-unsafe-finally": "error", "no-unused-expressions": ["error", { allowShortCircuit: false }],
      "no-unused-vars": "error", "no-use-before-define": ["error", { functions: false, variables: false }], "no-useless-return": "error", "no-var": "error",
      "object-shorthand": "error", "prefer-const": "error", "prefer-template": "error", "use-isnan": "error", "valid-typeof": "error",
    },
  },
];
