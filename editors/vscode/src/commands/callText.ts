/** Looks at a call that a user writes, without Python's help: what is wrong can be said while it is written. */

const CLOSING: Readonly<Record<string, string>> = { "(": ")", "[": "]", "{": "}" };

/** What is wrong with a call of a function, in one sentence; undefined where nothing is. */
export function problemOfCall(text: string, qualifiedName: string): string | undefined {
  const name = qualifiedName.split(".").at(-1) ?? qualifiedName;
  const call = text.trim();
  if (call === "") {
    return `Write a call, as in ${name}(1).`;
  }
  const problem = problemOfBrackets(call);
  if (problem !== undefined) {
    return problem;
  }
  const called = name === "__init__" ? (qualifiedName.split(".").at(-2) ?? name) : name;
  if (!new RegExp(`(?<![\\w])${called.replaceAll("$", "\\$")}\\s*\\(`).test(call) || !call.endsWith(")")) {
    return `It has to be a call of ${name}, as in ${name}(1).`;
  }
  return undefined;
}

function problemOfBrackets(call: string): string | undefined {
  const open: string[] = [];
  let quote = "";
  for (let index = 0; index < call.length; index++) {
    const character = call.charAt(index);
    if (quote !== "") {
      if (character === "\\") {
        index++;
      } else if (character === quote) {
        quote = "";
      }
    } else if (character === '"' || character === "'") {
      quote = character;
    } else if (CLOSING[character] !== undefined) {
      open.push(CLOSING[character]);
    } else if (")]}".includes(character)) {
      const wanted = open.pop();
      if (wanted === undefined) {
        return `There is a ${character} too many.`;
      }
      if (wanted !== character) {
        return `A ${wanted} is missing before the ${character}.`;
      }
    }
  }
  if (quote !== "") {
    return `The text has no end; a ${quote} is missing.`;
  }
  const missing = open.at(-1);
  return missing === undefined ? undefined : `A ${missing} is missing.`;
}
