'use strict';

const { readdirSync } = require('node:fs');
const { readFile } = require('node:fs/promises');
const path = require('node:path');
const MarkdownIt = require('markdown-it');

const folder = path.join(__dirname, '..', 'data', 'articles');

// A slug comes from the URL: only names that were in the folder at boot ever become a path.
const slugs = new Set(readdirSync(folder).map((file) => path.basename(file, '.md')));

const markdown = new MarkdownIt({ linkify: true, typographer: true });

function hasArticle(slug) {
  return slugs.has(slug);
}

async function renderArticle(slug) {
  const source = await readFile(path.join(folder, `${slug}.md`), 'utf8');
  return renderPage(slug, markdown.render(source));
}

function renderPage(title, body) {
  return `<!doctype html>
<html lang="en">
  <head><meta charset="utf-8"><title>${title}</title></head>
  <body><article>${body}</article></body>
</html>
`;
}

module.exports = { hasArticle, renderArticle };
