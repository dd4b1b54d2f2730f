export { parseCookies } from './cookies.ts'
export { type FlatJson, flattenJson, type JsonKind, type ShapeNode } from './json.ts'
export { type Multipart, parseMultipart } from './multipart.ts'
export { type BodyContext, type BodyProcessor, processorFor, processors } from './request-body.ts'
export { splitUri, type TargetParts } from './target.ts'
export { parseUrlEncoded, type UrlEncoded } from './urlencoded.ts'
export {
  type Argument,
  type BodyLimits,
  type BodyValues,
  bodyLimits,
  type MultipartFlags,
  type NamePrefix,
  type UploadedFile,
  type XmlValues,
} from './values.ts'
export { parseXml, type Xml } from './xml.ts'
